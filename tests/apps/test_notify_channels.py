"""Mail, texts and chats against real servers on loopback: what each says is what people are told."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import apprise
import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from deploynaut.instances.secrets import ensure_master_key
from deploynaut.notify import courier, gateways
from deploynaut.notify.channels import ChannelFailed
from deploynaut.notify.channels.email import send_mail
from deploynaut.notify.channels.text import send_text
from deploynaut.notify.courier import hand_over
from deploynaut.notify.models import Gateway, MailServer
from tests.posts import use_gateway, use_mail
from tests.sinks import SID, TOKEN, Authority, WebSink, chat_sink, free_port, gateway_sink, mail_sink, twilio_sink

pytestmark = pytest.mark.django_db
TO = "+64215550001"


@pytest.fixture(autouse=True)
def closed(settings: Settings) -> None:
    """What a test opens is closed after it."""
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = False


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def twilio(tmp_path: Path) -> Iterator[WebSink]:
    with twilio_sink(tmp_path) as sink, mock.patch.dict(os.environ, sink.environment):
        use_gateway(sink)
        yield sink


def refused(**words: str) -> ChannelFailed:
    with pytest.raises(ChannelFailed) as failed:
        send_mail(to="rob@acme.example", subject="Hello", body="text", **words)
    return failed.value


# --- mail ------------------------------------------------------------------------------------------------------------


def test_the_answer_of_the_mail_server_is_told_in_its_own_words() -> None:
    with mail_sink() as sink:
        use_mail(sink, sender="Deploynaut <deploy@acme.example>")
        assert send_mail(to="rob@acme.example", subject="Grüße", body="..\n.dots stay\n") == "250 2.0.0 queued as 4F2A"
    (mail,) = sink.mails
    assert mail.sender == "deploy@acme.example" and mail.to == ["rob@acme.example"]
    assert mail.message["Subject"] == "Grüße" and mail.message["To"] == "rob@acme.example"
    assert mail.body.splitlines() == ["..", ".dots stay"]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_tls_and_log_in(authority: Authority, tls: str) -> None:
    with mail_sink(tls=tls, authority=authority, auth=True) as sink:
        use_mail(sink, tls=tls, user="postman", password="letters and stamps")
        assert "CERTIFICATE_VERIFY_FAILED" in str(refused()), "nobody vouches for it"
        with mock.patch.dict(os.environ, SSL_CERT_FILE=str(authority.file)):
            assert send_mail(to="rob@acme.example", subject="Hello", body="text").startswith("250")
            assert sink.logins == [("postman", "letters and stamps")]
            use_mail(sink, tls=tls, user="postman", password="wrong and guessed")
            failed = refused()
    assert str(failed).startswith("535") and "guessed" not in str(failed) and len(sink.mails) == 1


def test_a_server_that_does_not_know_starttls_is_not_spoken_to_in_the_clear() -> None:
    with mail_sink() as sink:
        use_mail(sink, tls="starttls", user="postman", password="letters and stamps")
        assert "STARTTLS" in str(refused())
    assert sink.mails == [] and sink.logins == []


def test_4xx_is_for_later_and_5xx_of_an_address_for_good() -> None:
    with mail_sink() as sink:
        use_mail(sink)
        sink.answer = "451 4.3.0 come back later"
        assert (str(refused()), refused().final) == ("451 4.3.0 come back later", False)
        sink.answer = "552 5.3.4 too large"
        assert not refused().final
        sink.refuse = {"rob@acme.example": "450 4.2.1 greylisted"}
        assert (str(refused()), refused().final) == ("450 4.2.1 greylisted", False)
        sink.refuse = {"rob@acme.example": "550 5.1.1 no such user"}
        assert (str(refused()), refused().final) == ("550 5.1.1 no such user", True)


def test_nobody_there_and_somebody_slow() -> None:
    with mail_sink() as sink:
        use_mail(sink)
    assert "refused" in str(refused())
    with mail_sink() as sink, mock.patch.object(courier, "TOTAL", 25):
        use_mail(sink)
        sink.swallow = True
        began = time.monotonic()
        failed = refused()
    assert failed.perhaps and "no answer within 10 s" in str(failed) and time.monotonic() - began < 15
    assert len(sink.mails) == 1


def test_the_whole_time_is_limited_however_the_server_drips() -> None:
    with mail_sink() as sink:
        sink.wait = 60
        parcel = {"by": "smtp", "mail": "Subject: x\r\n\r\nx\r\n", "sender": "a@acme.example", "to": "b@acme.example"}
        way = {"host": "127.0.0.1", "port": sink.port, "tls": "none", "user": "", "password": ""}
        began = time.monotonic()
        answer = hand_over({**parcel, **way}, within=2)
    assert (answer.taken, answer.perhaps, answer.words) == (False, True, "no answer within 2 s")
    assert time.monotonic() - began < 10


def test_where_nothing_is_set_the_settings_of_the_installation_hold(settings: Settings) -> None:
    with mail_sink() as sink:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        assert send_mail(to="rob@acme.example", subject="Hello", body="text").startswith("250")
    assert len(sink.mails) == 1


# --- texts -----------------------------------------------------------------------------------------------------------


def test_twilio_by_its_own_plugin_and_verified_tls(twilio: WebSink) -> None:
    answer = send_text(to=TO, body="Acme: Rob asks you to approve 1.6.2")
    assert [(text.to, text.body) for text in twilio.texts] == [(TO, "Acme: Rob asks you to approve 1.6.2")]
    assert answer.startswith("201 Created") and "queued" in answer
    with pytest.raises(ChannelFailed, match=r"21211.*Invalid 'To'"):
        send_text(to="+64215550000", body="x")
    twilio.do = "429"
    with pytest.raises(ChannelFailed, match=r"429 Too Many Requests.*asks to wait: 30") as busy:
        send_text(to=TO, body="x")
    assert not busy.value.perhaps


def test_twilio_with_a_certificate_that_nobody_vouches_for_is_told_nothing(twilio: WebSink) -> None:
    del os.environ["REQUESTS_CA_BUNDLE"]
    with pytest.raises(ChannelFailed, match="CERTIFICATE_VERIFY_FAILED") as failed:
        send_text(to=TO, body="x")
    assert twilio.tried == [] and not failed.value.perhaps


def test_a_wrong_token_is_told_without_the_token(twilio: WebSink) -> None:
    twilio.url = twilio.url.replace(TOKEN, "9c" * 16)
    use_gateway(twilio)
    with pytest.raises(ChannelFailed, match=r"401.*20003") as failed:
        send_text(to=TO, body="x")
    assert SID not in str(failed.value) and "9c9c" not in str(failed.value)


def test_what_a_gateway_echoes_holds_no_secret_and_one_line(tmp_path: Path) -> None:
    with gateway_sink() as sink:
        use_gateway(sink)
        with (
            mock.patch.object(WebSink, "take", lambda *_: (500, {"you sent": "stamps-and-letters\r\n\x1b[31m 123456"})),
            pytest.raises(ChannelFailed) as failed,
        ):
            send_text(to=TO, body="your code is 123456", code="123456")
    words = str(failed.value)
    assert "stamps-and-letters" not in words and "123456" not in words and words.isprintable()


def test_a_gateway_that_takes_it_and_never_answers_may_have_it() -> None:
    with gateway_sink() as sink:
        use_gateway(sink)
        sink.do = "swallow"
        with pytest.raises(ChannelFailed, match="no answer within 10 s") as failed:
            send_text(to=TO, body="x")
        assert failed.value.perhaps
    with pytest.raises(ChannelFailed, match="refused") as gone:
        send_text(to=TO, body="x")
    assert not gone.value.perhaps, "nobody was there to take it"


def test_secrets_are_in_no_list_of_processes_and_in_no_environment() -> None:
    with gateway_sink() as sink:
        use_gateway(sink)
        with mock.patch.object(subprocess, "run", wraps=subprocess.run) as run:
            send_text(to=TO, body="x")
    words, options = run.call_args.args[0], run.call_args.kwargs
    assert "stamps" not in " ".join(words)
    assert set(options["env"]) <= {*courier.HANDED_ON, "NETRC"}


def test_stored_addresses_and_passwords_are_sealed() -> None:
    with gateway_sink() as sink, mail_sink() as mails:
        use_gateway(sink)
        use_mail(mails, user="postman", password="letters and stamps")
    assert "stamps" not in repr(Gateway.objects.values().get()) + repr(MailServer.objects.values().get())
    server = MailServer.objects.get()
    assert server.open_password() == "letters and stamps"
    use_mail(mails, user="postman")
    assert MailServer.objects.get().open_password() == "letters and stamps", "an empty field keeps it"
    use_mail(mails, user="postman", host="localhost")
    assert MailServer.objects.get().open_password() == "", "another server is not told the old one's password"


# --- where it may be sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "", "twilio", "file:///etc/passwd", "https://sms.example.org/{to}", "json://sms.example.org/?:to={to}",
        "jsons://127.0.0.1/?:to={to}", "jsons://localhost/?:to={to}", "jsons://10.1.2.3/?:to={to}",
        "jsons://169.254.169.254/?:to={to}", "jsons://[::1]/?:to={to}", "jsons://[fd00::1]/?:to={to}",
        "jsons://db.internal/?:to={to}", "jsons://sms.example.org/send", "jsons:///?:to={to}", "jsons://[/{to}",
        "jsons://sms.example.org/?:to={to}&verify=no", "jsons://sms.example.org/?:to={to}&redirect=yes",
        "jsons://sms.example.org/?:to={to}, file:///etc/passwd", "jsons://sms.example.org/?:to={to}\r\nX: y",
        "syslog://sms.example.org/{to}", "mailto://a:b@example.org/{to}", "dbus://x/{to}",
        "jsons://sms.example.org/?:to={to}&x=" + "y" * 1000, "javascript:alert(1)", "json://127.0.0.1/?:to={to}",
    ],
)  # fmt: skip
def test_an_address_that_is_none_or_leads_inside_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        gateways.text_gateway(url)
    if "{to}" in url:
        with pytest.raises(ValidationError):
            gateways.chat(url.replace("https://", "http://"))


@pytest.mark.parametrize(
    ("host", "hits"), [("127.0.0.1.nip.example", 0), ("2130706433", 0), ("0x7f000001", 0), ("127.1", 0)]
)
def test_a_name_that_leads_inside_is_not_asked(host: str, hits: int, settings: Settings) -> None:
    """Checked where the connection is made: a name, a number and a redirect alike."""
    ensure_master_key()
    with gateway_sink() as sink:
        settings.DEPLOYNAUT_PRIVATE_GATEWAYS = False
        url = f"json://{host}:{sink.port}/send?:to={{to}}"
        answer = hand_over({"by": "gateway", "url": url, "to": TO, "title": "", "body": "x"})
    assert not answer.taken and len(sink.tried) == hits


def test_every_kind_that_may_be_given_is_one_of_apprises_and_verified() -> None:
    known = {name for one in apprise.Apprise().details()["schemas"] for name in one["secure_protocols"] or ()}
    assert known >= gateways.TEXT | gateways.OWN
    assert gateways.CHAT - {"https"} <= known


def test_twilio_is_given_its_place_for_the_number() -> None:
    assert gateways.text_gateway("twilio://a:b@+15551230000") == "twilio://a:b@+15551230000/{to}/"
    assert gateways.text_gateway("twilio://a:b@+15551230000/?apikey=k") == "twilio://a:b@+15551230000/{to}/?apikey=k"


@pytest.mark.parametrize(
    ("words", "number"),
    [("+64 21 555 000", "+6421555000"), ("+1 (555) 123-0000", "+15551230000"), ("021 555 000", ""), ("ops", "")],
)
def test_numbers_of_the_pipeline_file(words: str, number: str) -> None:
    assert gateways.phone(words) == number


def test_a_chat_is_told_with_its_title() -> None:
    with chat_sink() as sink:
        parcel = {"by": "gateway", "url": sink.url, "to": "", "title": "Acme: live", "body": "look"}
        with mock.patch("deploynaut.notify.courier.settings.DEPLOYNAUT_PRIVATE_GATEWAYS", True):
            assert hand_over(parcel).taken
    assert [(post["title"], post["message"]) for post in sink.posts] == [("Acme: live", "look")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", ""), ("host", "smtp.example.org\r\nX"), ("host", "-oProxyCommand=x"), ("port", 0), ("port", 65536),
        ("tls", "perhaps"), ("sender", "nobody"), ("sender", "a@b.example, c@d.example"),
        ("sender", "x\r\nBcc: a@b.example <a@b.example>"),
    ],
)  # fmt: skip
def test_a_mail_server_that_is_none_is_refused_at_its_field(field: str, value: object) -> None:
    with mail_sink() as sink, pytest.raises(ValidationError) as refused_at:
        use_mail(sink, **{field: value})
    assert set(refused_at.value.message_dict) == {field} and not MailServer.objects.exists()


def test_a_password_does_not_travel_without_tls() -> None:
    with mail_sink() as sink, pytest.raises(ValidationError) as refused_at:
        use_mail(sink, host="smtp.example.org", user="postman", password="letters and stamps")
    assert set(refused_at.value.message_dict) == {"tls"}


def test_a_dead_proxy_is_told(settings: Settings, tmp_path: Path) -> None:
    with twilio_sink(tmp_path) as sink:
        environment = {**sink.environment, "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}"}
        with mock.patch.dict(os.environ, environment):
            use_gateway(sink)
            settings.DEPLOYNAUT_PRIVATE_GATEWAYS = False
            with pytest.raises(ChannelFailed, match="refused") as failed:
                send_text(to=TO, body="x")
    assert not failed.value.perhaps


def test_a_proxy_inside_is_asked_when_it_is_set(settings: Settings, twilio: WebSink) -> None:
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = False
    assert send_text(to=TO, body="x").startswith("201")
