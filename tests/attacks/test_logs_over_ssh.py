"""RA22 and RA23: what targets, people and pages write cannot act on a reader, and cannot be taken for ours."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from deploynaut.accounts import audit
from deploynaut.accounts.models import AuditEntry
from deploynaut.engine.pipeline import AbortAsked, Mark
from deploynaut.engine.steps.site_work import Lines
from deploynaut.runs.logs import LogSink
from deploynaut.runs.models import LogChunk, Run
from tests.attacks.hostile import Hostile
from tests.builders import make_deployment, make_environment, make_user
from tests.people import log_in

pytestmark = pytest.mark.attacks
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BREAKS = ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
FORGED = (
    "12:00:00 ended: succeeded",
    "ended: succeeded",
    "mark: open",
    "release is live",
    "release done",
    "Mia asked to abort",
    "taken over after the worker died",
    "incident deadbeef: nothing",
    "12:00:00 smoke_tests begins",
    "2026-11-23T12:00:00Z 99 leaky/uat#1 0123456789abcdef 1 end 0",
)
ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def protocol_marks() -> list[str]:
    """What fence.sh says around a command, with every nonce that a guesser would try."""
    nonces = ("0" * 32, "f" * 32, "$nonce", "", "deadbeef" * 4)
    return [
        f"{nonce} {word}"
        for nonce in nonces
        for word in ("begin", "end", "end exit 0", "end stopped -", "end fenced 999")
    ]


@pytest.mark.timeout(200)
def test_a_target_that_speaks_our_language_forges_nothing(leaky: Hostile) -> None:
    lines = [f"FORGED{cut}{line}{cut}FORGED" for cut in BREAKS for line in (*FORGED, *protocol_marks())]
    said = "\n".join(lines).encode()
    audited = leaky.stage.ask("SELECT count(*) FROM accounts_auditentry")
    leaky.say(out=said, err=said + b"\n" + b"0" * 32 + b" end exit 0\n", build=said, body=said, then="sys.exit(7)")
    status, number = leaky.deploy()
    assert status in ("rolled back", "failed")
    assert "status 7" in leaky.stage.ask("SELECT cause FROM runs_run WHERE title=?", f"leaky/uat #{number}")[0][0]
    assert leaky.stage.ask("SELECT count(*) FROM accounts_auditentry") == [(audited[0][0] + 1,)]
    words = [line for line in FORGED if not line.startswith(("release is", "release done"))]
    for line in leaky.log(number, "release").splitlines():
        assert re.match(r"\d\d:\d\d:\d\d ", line), line
        if "(status 7): " in line:  # our own line cites the last of theirs, behind its name
            continue
        if any(word in line for word in (*words, "FORGED", "exit 0", "fenced 999")):
            assert re.match(r"\d\d:\d\d:\d\d \| ", line), line
        assert not ACTS.search(line), line
    assert all(line.count("ended: ") < 2 for line in leaky.log(number).splitlines())
    marks = leaky.stage.ask(
        "SELECT max(m.mark) FROM runs_markreached m JOIN runs_run r ON r.id=m.run_id "
        "JOIN runs_steprun s ON s.run_id=r.id AND s.kind='release' WHERE r.title=? AND m.at <= s.ended_at",
        f"leaky/uat #{number}",
    )
    assert marks == [(Mark.MIGRATING,)]


@pytest.fixture
def run(db: None) -> Run:
    return make_deployment(make_environment(), at="release").run


@pytest.mark.parametrize("cut", BREAKS, ids=ascii)
def test_a_name_with_a_line_break_is_one_voice_in_the_pipeline_log(run: Run, cut: str) -> None:
    before = LogChunk.objects.filter(run=run, step=None).count()
    run.apply(AbortAsked(by=f"Mia{cut}12:00:00 ended: succeeded"), now=NOON)
    (note,) = LogChunk.objects.filter(run=run, step=None).order_by("id")[before:]
    first, *others = note.text.splitlines()
    assert first.startswith("12:00:00 Mia")
    assert all(line.startswith("12:00:00 | ") for line in others)


@pytest.mark.parametrize("cut", BREAKS, ids=ascii)
@pytest.mark.django_db
def test_an_audit_row_stays_one_row_on_one_line(cut: str) -> None:
    person = make_user("Sam")
    person.name = f"Sam{cut}2026-11-23 Mia approved"
    what = {f"title{cut}x": f"a{cut}b\x1b[2J"}
    audit.record(f"act{cut}", actor=person, subject=audit.Subject("x", 1, f"a{cut}b"), now=NOON, after=what)
    entry = AuditEntry.objects.get(subject_kind="x")
    texts = [entry.actor_name, entry.action, entry.subject_text, *entry.after, *entry.after.values()]
    assert all(len(text.splitlines()) == 1 and not ACTS.search(text) for text in texts)


# --- tricks on a terminal --------------------------------------------------------------------------------------------

TRICKS = {
    "colours": b"\x1b[31;1mred\x1b[0m ",
    "colours without an end": b"\x1b[" + b"1;" * 500,
    "a link": b"\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\ ",
    "the clipboard": b"\x1b]52;c;cm0gLXJmIC8=\x07",
    "the title": b"\x1b]0;owned\x07\x9b31m",
    "the cursor": b"\x1b[2J\x1b[H\x1b[10A\x1b[1000D\x1b[K",
    "overwriting": b"FAILED\rSUCCESS\r",
    "backspaces": b"FAILED\b\b\b\b\b\bPASSED",
    "line breaks": "a\u2028b\u2029c\x85d\v\f".encode(),
    "right to left": "\u202e\u2066olleh\u2069\u200f".encode(),
    "no text": b"\xff\xfe\xc3\x28\xed\xa0\x80\x00",
    "empty lines": b"\n",
}


def sunk(run: Run, content: bytes) -> tuple[float, float]:
    """Send it as a target does; seconds of processor until it is stored, and until its page is there."""
    step = run.steps.get(kind="release")
    LogChunk.objects.filter(run=run).delete()
    begun = time.process_time()
    sink = LogSink(run, step, clock=lambda: NOON)
    sink.add_secret("a secret that does not come")
    with Lines(sink.write) as lines:
        for start in range(0, len(content), 65536):
            lines.hear(content[start : start + 65536])
    sink.close()
    stored = time.process_time()
    log = log_in("Rob").get(f"{run.deployment.get_absolute_url()}log/?step={step.pk}")
    assert log.status_code == 200
    return stored - begun, time.process_time() - stored


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.django_db
def test_a_trick_is_shown_inert_on_page_and_raw(trick: str, run: Run) -> None:
    sunk(run, b"before " + TRICKS[trick] * 20 + b" after")
    client, step = log_in("Rob"), run.steps.get(kind="release")
    place = f"{run.deployment.get_absolute_url()}log/?step={step.pk}"
    page = client.get(place).content.decode()
    raw = b"".join(client.get(f"{place}&raw=1").streaming_content).decode()  # type: ignore[attr-defined]
    assert "before" in raw and "after" in raw and "before" in page
    assert not ACTS.search(raw) and not ACTS.search(page.replace("\r\n", "\n"))
    assert all(re.match(r"\d\d:\d\d:\d\d \| ", line) for line in raw.splitlines())


@pytest.mark.parametrize("trick", ["colours", "colours without an end", "overwriting", "the cursor", "no text"])
@pytest.mark.django_db
def test_ten_megabytes_of_a_trick_take_ten_times_as_long_as_one(trick: str, run: Run) -> None:
    one = TRICKS[trick] * (1_000_000 // len(TRICKS[trick]))
    small, large = sunk(run, one), sunk(run, one * 10)
    for name, few, many in zip(("sink", "page"), small, large, strict=True):
        assert many < 25 * max(few, 0.1), (name, few, many)
        print(f"{trick}: {name} {few:.2f} s for 1 MB, {many:.2f} s for 10 MB")
