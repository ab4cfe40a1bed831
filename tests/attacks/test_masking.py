"""RA24 at the sink: known secrets are masked in every form, wherever a text is cut."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from deploynaut.engine.connections.base import quoted
from deploynaut.engine.steps.site_work import Lines
from deploynaut.engine.vault import make_ssh_key
from deploynaut.runs.log_text import stamped
from deploynaut.runs.logs import LogSink
from deploynaut.runs.masking import Mask
from deploynaut.runs.models import LogChunk, Run
from tests.attacks.canaries import encodings, hits, needles, printed

pytestmark = pytest.mark.attacks
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CANARIES = {
    f"canary {number}": text
    for number, text in enumerate(
        [
            "hunter2",
            "correct horse battery staple",
            "p@ss/w0rd+=&?#%",
            "it's \"quoted\" $HOME `id`",
            "back\\slash\\n",
            "grün-käse-☃",
            "AGE-SECRET-KEY-" + "1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0JQQQQQQ",
            "ghp_" + "0123456789abcdefABCDEF0123456789abcd",
            "AKIA" + "IOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "aaaaaaaaaaaa",
            "abcabcabcabd",
            "0" * 40,
            "tab\tinside",
            "-leading-dash",
            "s3cr3t | at 12:00:00 | inside",
            "x" * 300,
            "ssh-password;rm -rf /",
            make_ssh_key("canary")[0].decode(),
        ]
    )
}  # fmt: skip


def masked(secret: str, pieces: list[str]) -> str:
    mask = Mask()
    mask.add(secret)
    return "".join(map(mask.feed, pieces)) + mask.flush()


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_is_masked_in_seven_forms_cut_at_every_character(name: str) -> None:
    secret = CANARIES[name]
    wanted = needles({name: secret})
    for form in encodings(secret).values():
        text = f"before {form} after".replace("\n", "")
        cuts = range(1, len(text)) if len(text) < 600 else range(1, len(text), 97)
        for cut in cuts:
            assert not hits(masked(secret, [text[:cut], text[cut:]]).encode(), wanted), (form, cut)


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_is_masked_in_seven_forms_broken_over_lines(name: str) -> None:
    secret = CANARIES[name]
    for form in encodings(secret).values():
        flat = form.replace("\n", "")
        for cut in range(9, len(flat), max(1, len(flat) // 40)):
            lines = [stamped(quoted(part), now=NOON) for part in (f"a {flat[:cut]}", f"{flat[cut:]} b")]
            for pieces in (lines, ["".join(lines)]):
                shown = masked(secret, pieces).replace("\n12:00:00 | ", "")
                assert flat not in shown, (form, cut)


@pytest.fixture
def run(db: None) -> Run:
    return Run.objects.begin(
        kind="scripted", subject_id=1, title="acme/uat #1", lock_key="environment:1", steps=["release"], now=NOON
    )


def stored(run: Run, say: Callable[[LogSink], None]) -> str:
    sink = LogSink(run, run.steps.get(), clock=lambda: NOON)
    for secret in CANARIES.values():
        sink.add_secret(secret)
    say(sink)
    sink.close()
    return "".join(LogChunk.objects.filter(run=run, step__isnull=False).order_by("id").values_list("text", flat=True))


def test_what_a_target_prints_is_stored_without_any_of_twenty_secrets(run: Run) -> None:
    output = "\n".join(line for secret in CANARIES.values() for line in printed(secret)).encode()

    def say(sink: LogSink) -> None:
        for size in (7, 4000, 65536):
            with Lines(sink.write) as lines:
                for start in range(0, len(output), size):
                    lines.hear(output[start : start + size])
                    if start % 5 == 0:
                        sink.store()

    text = stored(run, say)
    assert len(CANARIES) == 20 and text.count("***") > 400
    assert not hits(text.encode(), needles(CANARIES))
    joined = text.replace("\n12:00:00 | ", "")
    assert not hits(joined.encode(), needles(CANARIES))


@pytest.mark.django_db
def test_a_secret_where_a_long_line_is_cut_is_masked(run: Run) -> None:
    secret = CANARIES["canary 9"]
    output = b"".join(b"." * (3940 + shift) + secret.encode() + b"." * (200 - shift) for shift in range(60))

    def say(sink: LogSink) -> None:
        with Lines(sink.write) as lines:
            for start in range(0, len(output), 8):
                lines.hear(output[start : start + 8])

    assert secret not in stored(run, say).replace("\n12:00:00 | ", "")


def test_texts_that_leave_a_step_by_another_way_are_masked_too(run: Run) -> None:
    sink = LogSink(run, run.steps.get(), clock=lambda: NOON)
    for secret in CANARIES.values():
        sink.add_secret(secret)
    for secret in CANARIES.values():
        for form in encodings(secret).values():
            assert form not in sink.told(f"The command ended with status 1. It said: {form}")
    sink.close()


def test_an_ordinary_log_is_stored_as_it_came(run: Run) -> None:
    wanted = "".join(f"12:00:00 | line {number}: {json.dumps({'ok': number})}\n" for number in range(3000))

    def say(sink: LogSink) -> None:
        for number in range(3000):
            sink.write(f"| line {number}: {json.dumps({'ok': number})}")
            if number % 7 == 0:
                sink.store()

    assert stored(run, say) == wanted


def test_masking_takes_time_in_proportion_to_the_text() -> None:
    mask = Mask()
    for number in range(3):
        mask.add(make_ssh_key(f"canary{number}")[0].decode())
    mask.feed("warm\n")

    def seconds(text: str) -> float:
        begun = time.process_time()
        mask.feed(text)
        return time.process_time() - begun

    for line in (
        "12:00:00 | an ordinary line of a build\n",
        "a" * 200 + "\n",
        base64.b64encode(b"b3Bl" * 30).decode() + "\n",
    ):
        small, large = seconds(line * (1_000_000 // len(line))), seconds(line * (10_000_000 // len(line)))
        assert large < 4 and large < 30 * max(small, 0.02), (line[:20], small, large)


@pytest.mark.parametrize("name", CANARIES)
def test_what_is_left_of_a_secret_that_was_cut_is_masked(name: str) -> None:
    secret = CANARIES[name]
    for form in encodings(secret).values():
        for size in range(14, len(form) - 1, max(1, len(form) // 20)):
            for part in (form[:size], form[-size:]):
                mask = Mask()
                mask.add(secret)
                flat = part.replace("\n", "")
                assert flat not in mask.once(f"It said: {part}… and more").replace("\n", "")
                assert flat not in mask.feed(f"12:00:00 | {flat}\n") + mask.flush()
