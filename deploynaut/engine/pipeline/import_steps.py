"""Steps and smoke tests of a template of the original."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from deploynaut.engine.pipeline.import_report import Fate, Report
from deploynaut.engine.pipeline.import_texts import Path, Texts, names
from deploynaut.engine.pipeline.parts import MOST_GROUPS, MOST_IN_A_GROUP, PRODUCTION
from deploynaut.engine.pipeline.rules import REDIRECTS
from deploynaut.engine.pipeline.values import LONGEST, asked, written
from deploynaut.engine.pipeline.web_addresses import web_address

CLASSES = {
    "UserConfirmationStep": "approval",
    "TriggerDeployStep": "confirm",
    "DeploymentPipelineStep": "release",
    "SmokeTestPipelineStep": "smoke_tests",
    "EmergencyRollbackStep": "rollback_window",
}
BACK = "RollbackStep"
_GATES = frozenset({"approval", "confirm", "rollback_window"})
_NAMES_OF_TILES = ("NiceName", "NiceDone")


@dataclass(slots=True)
class Steps:
    """What has been found: settings of our steps by kind, tests by name."""

    production: bool
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    keep_database: bool = False

    def set(self, kind: str, key: str, value: Any) -> None:
        """A setting of a step."""
        self.settings.setdefault(kind, {})[key] = value

    def take_tests(self, tests: Any, path: Path, report: Report, *, within: str = "") -> None:
        """`Tests` at `path`; one of the same name wins over an earlier one, as there."""
        if tests is None:
            return
        if not isinstance(tests, dict):
            report.add(Fate.DROPPED, path, "it should name tests, with keys below each")
            return
        for name, test in tests.items():
            self._test(str(name), test, (*path, name), report, within)

    def _test(self, name: str, test: Any, path: Path, report: Report, within: str) -> None:
        found = {"URL": test} if isinstance(test, str) else test
        try:
            url = web_address(found["URL"])
        except (KeyError, TypeError, ValueError) as error:
            report.add(Fate.DROPPED, path, f"it has no address to ask: {error}" if found else "it is empty")
            return
        made: dict[str, Any] = {"url": url, **({"within": within} if within else {})}
        _status(found, made, path, report)
        if seconds := _span(found.get("ExpectResponse"), (*path, "ExpectResponse"), report):
            made["within"] = seconds
            report.add(Fate.TRANSLATED, (*path, "ExpectResponse"), f"within: {seconds}")
        if (tries := _tries(found.get("Attempts"))) is not None:
            self.set("smoke_tests", "attempts", max(tries, self.settings.get("smoke_tests", {}).get("attempts", 1)))
            report.add(Fate.LOOK, (*path, "Attempts"), "all tests are tried as often: the largest number is taken")
        for key in found:
            if key not in ("URL", "ExpectStatus", "ExpectResponse", "Attempts"):
                report.add(Fate.NOTHING_LIKE_IT, (*path, key), "the original reads no such key either")
        self._keep(name, made, path, report)

    def _keep(self, name: str, made: dict[str, Any], path: Path, report: Report) -> None:
        slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:63] or "test"
        if len(self.tests) >= 100 and slug not in self.tests:
            report.add(Fate.DROPPED, path, "100 smoke tests are the most")
            return
        self.tests[slug] = made
        report.add(Fate.TRANSLATED, path, f"smoke_tests.{slug}")


def _status(found: Mapping[str, Any], made: dict[str, Any], path: Path, report: Report) -> None:
    status = found.get("ExpectStatus")
    if status is None:
        words = "status 200 exactly is expected now; there anything but 500 to 504 passed"
        report.add(Fate.LOOK, path, words)
    elif isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
        made["status"] = status
        more = "; say with `redirect` where it must lead" if status in REDIRECTS else ""
        words = f"status: {status}{more}"
        report.add(Fate.TRANSLATED, (*path, "ExpectStatus"), words)
    else:
        report.add(Fate.DROPPED, (*path, "ExpectStatus"), "it is no status from 100 to 599")


def take_steps(steps: Any, made: Steps, texts: Texts, report: Report) -> None:
    """`Steps`, in their order."""
    if steps is not None and not isinstance(steps, dict):
        report.add(Fate.DROPPED, ("Steps",), "it should name steps, with keys below each")
    seen: list[str] = []
    for name, step in steps.items() if isinstance(steps, dict) else ():
        path = ("Steps", name)
        options = step if isinstance(step, dict) else {"Class": step}
        kind = CLASSES.get(str(options.get("Class")))
        why_not = _why_not(kind, options, seen, made)
        if kind is None or why_not:
            known = kind or options.get("Class") == BACK
            report.add(Fate.DROPPED if known else Fate.NOTHING_LIKE_IT, path, why_not)
            continue
        seen.append(kind)
        made.settings.setdefault(kind, {})
        words = "backup, release" if kind == "release" else kind
        report.add(Fate.TRANSLATED, path, f"step {words}")
        _TAKE[kind](options, path, made, texts, report)
    if seen != [kind for kind in PRODUCTION if kind in seen]:
        report.add(Fate.LOOK, ("Steps",), "the order of the steps is fixed here, and differs from that of the template")


def _why_not(kind: str | None, options: Mapping[str, Any], seen: list[str], made: Steps) -> str:
    if kind is None:
        if options.get("Class") == BACK:
            return "the way back is always there, and is no step of the file"
        return f"there is no step of the class {str(options.get('Class'))[:60]!r}"
    if kind in seen:
        return f"a pipeline has one {kind}"
    return "" if made.production or kind not in _GATES else f"{kind} is a step of production environments"


def _approval(options: Mapping[str, Any], path: Path, made: Steps, texts: Texts, report: Report) -> None:
    _time(options, "MaxDuration", "approval", "expires_after", path, made, report)
    _time(options, "RecipientsDelay", "approval", "escalate_after", path, made, report)
    _ask(options, path, made, report)
    texts.take(options, path, report, approval=True)
    if "Permissions" in options:
        words = "the original never reads it; who may approve is in the table of rights"
        report.add(Fate.DROPPED, (*path, "Permissions"), words)
    _others(options, path, report, {"MaxDuration", "RecipientsDelay", *_WHO, "Messages", "Subjects", "Permissions"})


_WHO = ("Recipients", "RecipientsRole", "RecipientsRoles")


def _ask(options: Mapping[str, Any], path: Path, made: Steps, report: Report) -> None:
    """Each item is a group where there is a delay between them; without one all are asked at once."""
    groups: list[list[str]] = []
    for key in _WHO:
        found = options.get(key)
        for item in found if isinstance(found, list) else [found]:
            group = [one for name in names(item) if (one := _asked(name, (*path, key), report))]
            if group:
                groups.append(list(dict.fromkeys(group)))
    if not groups:
        report.add(Fate.LOOK, path, "it names nobody to ask: Deployment Managers, then Instance Managers are asked")
        return
    if options.get("RecipientsDelay") is None:
        groups = [list(dict.fromkeys(one for group in groups for one in group))]
    if len(groups) > MOST_GROUPS or any(len(group) > MOST_IN_A_GROUP for group in groups):
        words = f"{MOST_GROUPS} groups of {MOST_IN_A_GROUP} are the most: those after them are left out"
        report.add(Fate.DROPPED, path, words)
    made.set("approval", "ask", [group[:MOST_IN_A_GROUP] for group in groups[:MOST_GROUPS]])
    words = "ask; each of them must be a user who may approve here, and they must be two people at least"
    report.add(Fate.LOOK, (*path, next(key for key in _WHO if key in options)), words)


def _asked(name: str, path: Path, report: Report) -> str:
    word = re.sub(r"[^a-z]", "", name.lower()).removesuffix("s")
    if word in ("deploymentmanager", "releasemanager"):
        return "deployment-managers"
    if word == "instancemanager":
        return "instance-managers"
    try:
        return asked(name)
    except ValueError:
        report.add(Fate.DROPPED, path, f"{name[:60]!r} is neither a role that may approve nor an e-mail address")
        return ""


def _confirm(options: Mapping[str, Any], path: Path, made: Steps, texts: Texts, report: Report) -> None:
    _time(options, "MaxDuration", "confirm", "expires_after", path, made, report)
    _others(options, path, report, {"MaxDuration"})


def _release(options: Mapping[str, Any], path: Path, made: Steps, texts: Texts, report: Report) -> None:
    made.settings.setdefault("backup", {})
    if span := _time(options, "MaxDuration", "release", "timeout", path, made, report):
        made.set("backup", "timeout", span)
        report.add(Fate.LOOK, (*path, "MaxDuration"), "there for both together; here backup and release have it each")
    _others(options, path, report, {"MaxDuration"})


def _smoke_tests(options: Mapping[str, Any], path: Path, made: Steps, texts: Texts, report: Report) -> None:
    within = _span(options.get("RequestTimeout"), (*path, "RequestTimeout"), report)
    if within:
        report.add(Fate.TRANSLATED, (*path, "RequestTimeout"), f"within: {within}, of each test without one")
        for test in made.tests.values():
            test.setdefault("within", within)
    made.take_tests(options.get("Tests"), (*path, "Tests"), report, within=within)
    if (tries := _tries(options.get("Attempts"))) is not None:
        made.set("smoke_tests", "attempts", max(tries, made.settings["smoke_tests"].get("attempts", 1)))
        report.add(Fate.TRANSLATED, (*path, "Attempts"), f"smoke_tests.attempts: {tries}")
    _time(options, "AttemptDelay", "smoke_tests", "delay", path, made, report)
    if options.get("PerformTestOn") not in (None, "ThisEnvironment"):
        report.add(Fate.NOTHING_LIKE_IT, (*path, "PerformTestOn"), "tests ask this environment's own site")
    if "MaxDuration" in options:
        report.add(Fate.DROPPED, (*path, "MaxDuration"), "it has no effect there; `timeout` has one here")
    known = {"RequestTimeout", "Tests", "Attempts", "AttemptDelay", "PerformTestOn", "MaxDuration"}
    _others(options, path, report, known)


def _window(options: Mapping[str, Any], path: Path, made: Steps, texts: Texts, report: Report) -> None:
    if not _time(options, "MaxDuration", "rollback_window", "lasts", path, made, report):
        report.add(Fate.LOOK, path, "it never ends there; here it lasts an hour unless the file says otherwise")
    _others(options, path, report, {"MaxDuration"})


_TAKE: dict[str, Callable[[Mapping[str, Any], Path, Steps, Texts, Report], None]] = {
    "approval": _approval,
    "confirm": _confirm,
    "release": _release,
    "smoke_tests": _smoke_tests,
    "rollback_window": _window,
}


def _others(options: Mapping[str, Any], path: Path, report: Report, known: set[str]) -> None:
    for key in options:
        if key in _NAMES_OF_TILES:
            report.add(Fate.DROPPED, (*path, key), "tiles are called the same everywhere")
        elif key not in known and key != "Class":
            report.add(Fate.NOTHING_LIKE_IT, (*path, key), "the original reads no such key of this step either")


def _time(options: Mapping[str, Any], key: str, kind: str, ours: str, path: Path, made: Steps, report: Report) -> str:
    span = _span(options.get(key), (*path, key), report)
    if span:
        made.set(kind, ours, span)
        report.add(Fate.TRANSLATED, (*path, key), f"{kind}.{ours}: {span}")
    return span


def _span(seconds: Any, path: Path, report: Report) -> str:
    """Seconds of the original as a time with its unit; empty when there are none that we take."""
    if seconds is None:
        return ""
    number = seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else math.nan
    if not 0 < number <= LONGEST.total_seconds():
        report.add(Fate.DROPPED, path, "it is not a number of seconds up to 30 days; the default holds")
        return ""
    return written(timedelta(seconds=math.ceil(number)))


def _tries(value: Any) -> int | None:
    return min(20, value) if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None
