"""RA21: texts from outside that would act in a browser. The tags of every page stay the ones that we wrote."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from django.test import Client

from deploynaut.accounts.models import User
from deploynaut.deployments.models import Deployment
from deploynaut.instances.models import BranchCommit, Commit, Environment, Instance, KeyPair, Ref, Target
from deploynaut.notify.models import Message
from deploynaut.runs.models import LogChunk, Run, StepRun
from tests.attacks.corpus import MARKUP
from tests.doors.world import World, log_in, make_world

pytestmark = pytest.mark.attacks

PAGES = (
    "/",
    "/instances/",
    "/instances/acme/",
    "/instances/acme/?show=tags",
    "/instances/acme/?show=deployed",
    "/instances/acme/-/repository/",
    "/instances/acme/uat/",
    "/instances/acme/uat/release/",
    "/instances/acme/uat/settings/",
    "/instances/acme/uat/pipeline/",
    "/instances/acme/uat/pipeline/history/",
    "/instances/acme/uat/targets/",
    "/instances/acme/uat/2/",
    "/instances/acme/uat/3/",
    "/instances/acme/uat/3/abort/",
    "/instances/acme/uat/3/log/",
)


class Shape(HTMLParser):
    """The tags of a page with the names of their attributes, and the addresses it leads to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.addresses: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[f"{tag} {' '.join(sorted(name for name, _ in attrs))}"] += 1
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src", "action", "hx-get")}


def test_the_corpus_is_large_enough() -> None:
    assert len(MARKUP) >= 120


TOGETHER = 6
"""Texts that are put into each field at once: SQLite holds them whole, however short the field is meant to be."""


def test_no_text_from_outside_becomes_markup(db: None) -> None:
    world = make_world()
    _fill(world, "harmless words")
    browser = log_in("Ida")
    plain = {where: Shape(_page(browser, where)) for where in PAGES}
    for first in range(0, len(MARKUP), TOGETHER):
        text = " ".join(MARKUP[first : first + TOGETHER])
        _fill(world, text)
        for where in PAGES:
            shape = Shape(_page(browser, where))
            assert shape.tags == plain[where].tags, f"{where} with {text!r}"
            for address in shape.addresses - plain[where].addresses:
                assert address.startswith(("/", "?", "#")), f"{where} leads to {address!r}"


def _page(browser: Client, where: str) -> str:
    answer = browser.get(where)
    assert answer.status_code == 200, where
    return answer.content.decode()


def _fill(world: World, text: str) -> None:
    """Put the text wherever something from outside is stored and shown, past every check."""
    Instance.objects.update(title=text, repository=text)
    Environment.objects.update(url=text, pipeline=text)
    Target.objects.filter(pk=world.target.pk).update(address=text, user=text, base=text)
    KeyPair.objects.update(public=text, fingerprint=text)
    Commit.objects.update(subject=text, body=text, author=text)
    for ref in Ref.objects.all():
        Ref.objects.filter(pk=ref.pk).update(name=f"{text} {ref.pk}", subject=text, author=text)
    assert BranchCommit.objects.exists()
    User.objects.update(name=text)
    Deployment.objects.update(chosen_name=text, outcome=text)
    Run.objects.update(cause=text, abort_by=text)
    StepRun.objects.update(summary=text, error=text)
    LogChunk.objects.update(text=text)
    Message.objects.update(address=text, subject=text, result=text)
