"""What each web host really answers: its screen, its release. Asked of the very host, where its address is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urljoin

from deploynaut.engine.smoke_tests import ALL, Answer, HttpTransport, NoAnswer, SmokeTest
from deploynaut.engine.smoke_tests.values import SCREEN_HEADER
from deploynaut.engine.steps.base import StepContext, StepFailed, TargetHost
from deploynaut.engine.steps.hosts import everywhere, pause
from deploynaut.engine.steps.links import read_back
from deploynaut.engine.steps.site_work import reload_on

WITHIN = 10.0
AGAIN_AFTER = 0.5


def wait_for_screen(context: StepContext, host: TargetHost) -> None:
    """The host answers 503 with our header. Without an address nobody can ask it, which the log says."""
    if not host.address:
        context.log(f"{host.name}: it has no address to ask, so the screen is not proven there")
        return
    _wait(context, lambda: _no_screen(_ask(context, host, "/")))


def wait_for_release(context: StepContext, number: int, *, until: datetime | None = None) -> None:
    """Every host's link leads to the release, and every web host with an address answers with it.

    What still serves another release is reloaded and asked again; a host out of reach is tried until `until`.
    Raises StepFailed naming each host that differs.
    """
    what = f"Release {number} is not served"
    everywhere(context, context.targets, lambda host: _wait_for_release(context, host, number), what=what, until=until)


def shows_screen(context: StepContext, host: TargetHost) -> bool:
    """Whether a visitor of this host would see our screen; True where nobody can ask."""
    return not host.address or not _no_screen(_ask(context, host, "/"))


def _wait_for_release(context: StepContext, host: TargetHost, number: int) -> None:
    read_back(host, number)
    path = context.recipe.release_url
    if not path or not host.address or "web" not in host.roles:
        context.log(f"{host.name}: current leads to release {number}")
        return

    def objection() -> str:
        found = _other_release(_ask(context, host, path), number)
        if found:
            reload_on(context, host)
        return found

    _wait(context, objection)
    context.log(f"{host.name}: serves release {number}")


def _wait(context: StepContext, objection: Callable[[], str]) -> None:
    """Until there is none, at most `answer_within`; then StepFailed with the last one."""
    until = context.clock() + context.answer_within
    while found := objection():
        if context.clock() >= until:
            raise StepFailed(found)
        pause(context, AGAIN_AFTER)


def _no_screen(answer: Answer | NoAnswer) -> str:
    if isinstance(answer, NoAnswer):
        return f"It does not answer: {answer.reason}."
    if answer.status == 503 and SCREEN_HEADER in answer.headers:
        return ""
    return f"It answers {answer.status} instead of the maintenance screen. Does its web server obey the screen's file?"


def _other_release(answer: Answer | NoAnswer, number: int) -> str:
    if isinstance(answer, NoAnswer):
        return f"It does not answer: {answer.reason}."
    found = answer.body[:300].decode("utf-8", "replace").split()
    if answer.status == 200 and found and found[0] == str(number):
        return ""
    said = f"release {found[0]}" if answer.status == 200 and found else f"status {answer.status}"
    return f"It still answers {said} where release {number} is expected."


def _ask(context: StepContext, host: TargetHost, path: str) -> Answer | NoAnswer:
    # A host asked by its own address rarely has a certificate for it, and nothing secret is asked or told.
    question = SmokeTest(name=host.name, url=urljoin(host.address, path), within=WITHIN, verify_tls=False)
    try:
        return HttpTransport(allowed=ALL).get(question, guard=context.guard)
    except NoAnswer as error:
        return error
