"""RF25 with a real worker: a gateway that takes a minute slows no release, and a message is not sent twice."""

from __future__ import annotations

from pathlib import Path

from tests.sinks import gateway_sink, mail_sink
from tests.stage import Stage, staged, wait_until

ALLOWED = 1.0
"""Seconds by which a release may be slower while the gateway is."""
PHONE = "+64215550001"


def test_a_gateway_that_takes_a_minute_slows_no_release(tmp_path: Path) -> None:
    with (
        gateway_sink() as phones,
        mail_sink() as mails,
        staged(tmp_path / "data", "uat", "worker", DEPLOYNAUT_PRIVATE_GATEWAYS="yes") as stage,
    ):
        stage.clerk("verify_phone", who="Rob", phone=PHONE)
        stage.clerk("set_mail_server", tcp=mails.port)
        stage.clerk("set_gateway", url=phones.url)
        usual = [_release(stage, tag) for tag in ("1.0", "1.1", "1.0")]
        wait_until(lambda: len(phones.texts) == 3, seconds=60, what="three texts")
        phones.do = "slow"
        slow = [_release(stage, tag) for tag in ("1.1", "1.0", "1.1")]
        assert phones.tried[3:], "the gateway was being asked meanwhile"
        wait_until(lambda: len(mails.mails) == 6, seconds=60, what="mail is not kept waiting by texts")
        assert min(slow) <= min(usual) + ALLOWED, f"{slow} s instead of {usual} s"
        assert [text.to for text in phones.texts] == [PHONE] * 3
        assert {mail.to[0] for mail in mails.mails} == {"rob@demo.example"}
        assert len({mail.message["Message-ID"] for mail in mails.mails}) == 6, "each once"


def _release(stage: Stage, tag: str) -> float:
    number = stage.begin("tag", tag)
    assert stage.wait_for_end(number, seconds=90) == "succeeded", stage.log(number)
    seconds = "(julianday(r.ended_at) - julianday(r.begun_at)) * 86400"
    return float(
        stage.ask(f"SELECT {seconds} FROM runs_run r WHERE r.kind='deployment' ORDER BY r.id DESC LIMIT 1")[0][0]
    )
