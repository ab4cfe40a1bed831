"""What the pipeline file lets people word, send and ask is what the program sends, fills in and asks."""

from __future__ import annotations

from importlib import resources

from deploynaut.accounts.roles import Right, roles_with
from deploynaut.deployments import wording
from deploynaut.engine.pipeline.parts import Told
from deploynaut.engine.pipeline.values import PLACEHOLDERS, ROLES
from tests.builders import make_deployment


def test_every_message_that_is_sent_can_be_worded() -> None:
    texts = resources.files("deploynaut.deployments") / "texts"
    sent = {file.name.removesuffix(".txt").removesuffix("_initiator") for file in texts.iterdir()}
    assert sent == set(Told)


def test_every_placeholder_is_filled_in(db: None) -> None:
    assert set(wording._fields(make_deployment(at="succeeded"))) == set(PLACEHOLDERS)


def test_the_roles_that_can_be_asked_are_those_that_may_approve() -> None:
    assert set(ROLES) == {f"{role.value}s" for role in roles_with(Right.APPROVE)}
