"""The words of a message: ours from files, or the pipeline file's own; placeholders filled in, nothing evaluated.

Placeholders are the original program's, as in `<requester>`. One that is not known stays as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from deploynaut.engine.pipeline import SpecError

if TYPE_CHECKING:
    from deploynaut.deployments.models import Deployment

PLACEHOLDER = re.compile(r"<([a-z][a-z-]*)>")
TEXT_MARK = "Text: "
ONE_TEXT = 160
"""Characters of one text message; longer ones are cut into several by the gateway, and paid as such."""
CLIPPED = {"project": 24, "revision": 24, "requester": 24, "attendant": 24, "approver": 24, "environment": 20}
"""How much of a name a text message holds."""


@dataclass(frozen=True, slots=True)
class Words:
    """One message, by each channel."""

    subject: str
    body: str
    text: str


def words(deployment: Deployment, event: str, *, own: bool = False) -> Words:
    """The message about an event. `own`: as it is told to who began it, where that differs."""
    ours = _template(f"{_key(event)}_initiator" if own else _key(event))
    theirs = None if own else _overrides(deployment).get(_key(event))
    fields = _fields(deployment)
    subject = (theirs and theirs.subject) or ours.subject
    body = (theirs and theirs.body) or ours.body
    text = (theirs and theirs.text) or ours.text
    return Words(
        subject=" ".join(fill(subject, fields).split()),
        body=fill(body, fields).strip() + "\n",
        text=_text(text, fields),
    )


def fill(template: str, fields: Mapping[str, str]) -> str:
    """The template with its placeholders filled in, once: what a field holds is not looked at again."""
    return PLACEHOLDER.sub(lambda found: fields.get(found[1], found[0]), template)


def _key(event: str) -> str:
    return event.replace(" ", "_")


@cache
def _template(key: str) -> Words:
    file = resources.files("deploynaut.deployments") / "texts" / f"{key}.txt"
    subject, text, body = file.read_text("utf-8").split("\n", 2)
    return Words(subject=subject, body=body.strip(), text=text.removeprefix(TEXT_MARK))


def _overrides(deployment: Deployment) -> Mapping[str, Words]:
    try:
        return deployment.spec().messages  # type: ignore[return-value]  # it has the same three fields
    except SpecError:
        # A file that an upgrade no longer reads must not keep people from being told.
        return {}


def _text(template: str, fields: Mapping[str, str]) -> str:
    """One line, of one text message where that can be: names give way, the link never does."""
    short = {name: clip(value, CLIPPED.get(name, 80)) for name, value in fields.items()}
    links = {name: value for name, value in fields.items() if name.endswith("link") or name == "site"}
    whole = " ".join(fill(template, {**short, **links}).split())
    link = whole.rpartition(" ")[2]
    if len(whole) <= ONE_TEXT or link not in links.values():
        return whole
    return f"{clip(whole[: -len(link)].strip(), max(ONE_TEXT - len(link) - 1, 40))} {link}"


def clip(text: str, most: int) -> str:
    """The text, cut with three dots: a "…" would make a text message of other letters, and half as long."""
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _fields(deployment: Deployment) -> dict[str, str]:
    environment, initiator, approver = deployment.environment, deployment.initiator, deployment.approver
    page = settings.DEPLOYNAUT_URL + deployment.get_absolute_url()
    fields = {
        "deployment": str(deployment),
        "environment": environment.name,
        "project": environment.instance.title,
        "revision": deployment.revision,
        "commitsha": deployment.commit,
        "requester": initiator.name,
        "requester-email": initiator.email,
        "attendant": deployment.attendant.name,
        "approver": approver.name if approver else "",
        "reason": deployment.withdrawn_reason or deployment.break_glass,
        "withdrawn-by": deployment.withdrawn_by.name if deployment.withdrawn_by else "",
        "outcome": deployment.outcome,
        "site": environment.url,
        "pipelinelink": page,
        "abortlink": page,
        "approvelink": _approval(deployment) or page,
    }
    return {name: _one_line(value) for name, value in fields.items()}


def _approval(deployment: Deployment) -> str:
    where = deployment.environment
    try:
        return settings.DEPLOYNAUT_URL + reverse("approval", args=[where.instance.name, where.name, deployment.number])
    except NoReverseMatch:
        return ""


def _one_line(value: str) -> str:
    """What a name or a branch holds can begin no line and turn no text around."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())
