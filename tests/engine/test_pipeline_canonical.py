"""The form of a pipeline that an approval is for: what voids one, and what does not."""

from __future__ import annotations

import json

import pytest

from deploynaut.engine.pipeline import parse
from deploynaut.engine.pipeline.canonical import canonical

WHOLE = """\
description: Production of acme.
promote_from: uat
steps:
  - approval: {ask: [[deployment-managers, mia@acme.example], [im@acme.example]], escalate_after: 2h}
  - backup: {assets: true}
  - rollback_window: {lasts: 1h}
smoke_tests:
  home: {url: "https://www.acme.example/", contains: "Welcome", within: 5s}
  login: {url: "https://www.acme.example/admin/", status: 302, redirect: "/Security/login"}
keep_releases: 5
notify:
  rollback_failed: [ops@acme.example]
"""

# Committed: a change of this value voids every approval that waits while Deploynaut is upgraded.
VERSION_1 = (
    '{"ask": [["deployment-managers", "mia@acme.example"], ["im@acme.example"]], "assets": true, '
    '"on_failure": {"database": "restore"}, "promote_from": "uat", "smoke_tests": {"home": {"contains": "Welcome", '
    '"lacks": "", "may_be_broken": false, "redirect": "", "status": 200, "url": "https://www.acme.example/", '
    '"verify_tls": true}, "login": {"contains": "", "lacks": "", "may_be_broken": false, '
    '"redirect": "/Security/login", "status": 302, "url": "https://www.acme.example/admin/", "verify_tls": true}}, '
    '"steps": ["approval", "confirm", "prepare", "backup", "release", "smoke_tests", "rollback_window"], '
    '"version": 1, "window": 3600}'
)


def form(text: str, *, production: bool = True) -> str:
    return json.dumps(canonical(parse(text, production=production)), sort_keys=True)


def test_the_form_of_version_1_stays_as_it_is() -> None:
    assert form(WHOLE) == VERSION_1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Production of acme.", "Another description."),
        ("[deployment-managers, mia@acme.example]", "[mia@acme.example, deployment-managers]"),
        ("escalate_after: 2h", "escalate_after: 3h, expires_after: 2d"),
        ("lasts: 1h", "lasts: 60m"),
        ("within: 5s", "within: 9s, status: 200"),
        ("keep_releases: 5", "keep_releases: 9"),
        ("ops@acme.example", "other@acme.example"),
        ("promote_from: uat\n", ""),
        ("  - backup: {assets: true}", "  - confirm: {expires_after: 2d}\n  - backup: {assets: true, timeout: 2h}"),
        ("  - rollback_window", "  - smoke_tests: {attempts: 7, delay: 1s}\n  - rollback_window"),
        (
            "  home: {",
            '  login: {url: "https://www.acme.example/admin/", status: 302, redirect: "/Security/login"}\n  home: {',
        ),
    ],
)
def test_a_harmless_edit_voids_nothing(old: str, new: str) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new)
    if "\n  home: {" in new:
        text = text[: text.rindex("  login:")] + text[text.index("keep_releases") :]
    assert form(text) == VERSION_1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("promote_from: uat", "promote_from: uat2"),
        ("[[deployment-managers, mia@acme.example], [im@acme.example]]", "[[im@acme.example], [deployment-managers]]"),
        ("assets: true", "assets: false"),
        ("lasts: 1h", "lasts: 30m"),
        ("Welcome", "Hello"),
        ("status: 302", "status: 301"),
        ("/Security/login", "/Security/logout"),
        ("  home:", "  front:"),
        ("within: 5s", "verify_tls: false"),
        ("within: 5s", "may_be_broken: true"),
        ("within: 5s", "lacks: Warning"),
    ],
)
def test_what_runs_or_who_protects_it_is_what_was_approved(old: str, new: str) -> None:
    assert old in WHOLE
    assert form(WHOLE.replace(old, new)) != VERSION_1


def test_a_pipeline_of_uat_has_no_people_and_no_window() -> None:
    found = canonical(parse("on_failure: {database: keep}", production=False))
    assert "ask" not in found
    assert "window" not in found
    assert found["on_failure"] == {"database": "keep"}
