"""The pages of messages: secrets go in and never come out, answers are the servers' own, my choices are mine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from deploynaut.accounts.clock import now
from deploynaut.accounts.models import AuditEntry, PhoneCode, User
from deploynaut.durable.inline import InlineEngine, inline_engine
from deploynaut.instances.secrets import ensure_master_key
from deploynaut.notify import trials
from deploynaut.notify.models import Chat, Gateway, MailServer, Message, Unwanted
from deploynaut.runs.models import LogChunk, Run
from tests.builders import NOW, make_commit, make_deployment, make_user
from tests.doors.world import World, all_rows, log_in
from tests.posts import quick_courier, use_gateway, with_phone
from tests.sinks import WebSink, chat_sink, gateway_sink, mail_sink

SECRET = "letters and stamps"
PLACES = ("/system/", "/account/messages/", "/instances/acme/-/messages/")


@pytest.fixture
def engine(settings: Settings) -> Iterator[InlineEngine]:
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = True
    ensure_master_key()
    with inline_engine() as inline, quick_courier():
        yield inline


@pytest.fixture
def phones(world: World, engine: InlineEngine) -> Iterator[WebSink]:
    with gateway_sink() as sink:
        use_gateway(sink)
        yield sink


def mail_form(port: int, /, **fields: object) -> dict[str, object]:
    usual = {"act": "mail", "host": "127.0.0.1", "port": port, "tls": "none", "user": "", "sender": "d@acme.example"}
    return {**usual, **fields}


def read(browser: Client, where: str) -> str:
    answer = browser.get(where)
    assert answer.status_code == 200, where
    return answer.content.decode()


# --- system ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Ida", "Olga", "Sam"])
def test_the_systems_settings_are_for_administrators(world: World, name: str) -> None:
    for answer in (world.browser(name).get("/system/"), world.browser(name).post("/system/", mail_form(25))):
        assert answer.status_code == 403
    assert not MailServer.objects.exists()


def test_an_administrator_sets_the_mail_server_and_sees_its_real_answer(world: World, engine: InlineEngine) -> None:
    ada = world.browser("Ada")
    with mail_sink() as sink:
        assert ada.post("/system/", mail_form(sink.port, user="postman", password=SECRET)).status_code == 302
        MailServer.objects.update(user="")
        ada.post("/system/", {"act": "test-mail"})
        assert "250 2.0.0 queued as 4F2A" in read(ada, "/system/") and sink.mails[0].to == ["ada@acme.example"]
        sink.refuse = {"ada@acme.example": "550 5.7.1 <b>you are on our list</b>"}
        ada.post("/system/", {"act": "test-mail"})
        page = read(ada, "/system/")
    assert "550 5.7.1 &lt;b&gt;you are on our list" in page and SECRET not in page
    ada.post("/system/", {"act": "mail-remove"})
    assert not MailServer.objects.exists()
    everything = repr(list(AuditEntry.objects.values())) + repr(list(LogChunk.objects.values()))
    assert SECRET not in everything and AuditEntry.objects.filter(action="mail server set").count() == 1


def test_an_administrator_sets_the_gateway_and_sees_its_real_answer(world: World, engine: InlineEngine) -> None:
    ada = world.browser("Ada")
    make_user("Ada").introduce(name="Ada", phone="+64215550001", now=NOW)
    with gateway_sink() as sink:
        assert ada.post("/system/", {"act": "gateway", "url": sink.url}).status_code == 302
        ada.post("/system/", {"act": "test-text"})
        assert "201 Created" in read(ada, "/system/") and sink.texts[0].to == "+64215550001"
        sink.do = "429"
        ada.post("/system/", {"act": "test-text"})
        page = read(ada, "/system/")
    assert "429 Too Many Requests" in page and "stamps-and-letters" not in page
    everything = repr(list(AuditEntry.objects.values())) + repr(list(Run.objects.values()))
    assert "stamps-and-letters" not in everything + repr(list(LogChunk.objects.values()))
    ada.post("/system/", {"act": "gateway-remove"})
    assert not Gateway.objects.exists() and "No gateway is set up" in read(ada, "/system/")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"port": "25a"}, "port"), ({"port": ""}, "port"), ({"port": "１２"}, "port"), ({"host": "a b"}, "host"),
        ({"sender": "nobody"}, "sender"), ({"tls": "x"}, "tls"), ({"host": "smtp\x00"}, "host"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_marked_and_nothing_is_saved(
    world: World, engine: InlineEngine, fields: dict[str, str], field: str
) -> None:
    answer = world.browser("Ada").post("/system/", mail_form(25, password=SECRET, **fields))
    page = answer.content.decode()
    assert answer.status_code == 400 and f'id="{field}-wrong"' in page and SECRET not in page
    assert not MailServer.objects.exists()


def test_a_wrong_gateway_is_marked_and_not_shown(world: World) -> None:
    answer = world.browser("Ada").post("/system/", {"act": "gateway", "url": "file:///etc/shadow?token=abcdef"})
    page = answer.content.decode()
    assert answer.status_code == 400 and 'id="url-wrong"' in page and "abcdef" not in page
    assert not Gateway.objects.exists()


def test_what_is_secret_is_not_kept_while_somebody_confirms_who_they_are(world: World, engine: InlineEngine) -> None:
    ada = world.browser("Ada")
    later = now() + timedelta(minutes=20)
    with mock.patch("deploynaut.web.notices.system.now", return_value=later):
        assert "Confirm" in read(ada, "/system/")
        answer = ada.post("/system/", mail_form(25, user="postman", password=SECRET))
    assert answer.status_code == 302 and answer["Location"].startswith("/account/confirm/?next=")
    assert not MailServer.objects.exists()
    assert not [row for row in Session.objects.all() if SECRET in repr(row.get_decoded())]


def test_an_act_that_there_is_not(world: World) -> None:
    assert world.browser("Ada").post("/system/", {"act": "x"}).status_code == 400


def test_before_the_worker_has_its_key_nothing_is_kept(world: World, settings: Settings, tmp_path: Path) -> None:
    settings.DEPLOYNAUT_MASTER_PUB = tmp_path / "none.pub"
    page = world.browser("Ada").post("/system/", mail_form(25, user="x", host="localhost", password=SECRET))
    assert page.status_code == 400 and "has not made its key yet" in page.content.decode()


# --- chats -----------------------------------------------------------------------------------------------------------


def test_an_instance_manager_adds_tests_and_removes_a_chat(world: World, engine: InlineEngine) -> None:
    ida = world.browser("Ida")
    with chat_sink() as sink:
        assert ida.post(PLACES[2], {"name": "#releases", "url": sink.url}).status_code == 302
        chat = Chat.objects.get()
        ida.post(f"{PLACES[2]}{chat.pk}/test/")
        page = read(ida, PLACES[2])
        assert "201 Created" in page and "gossip" not in page and sink.posts[0]["title"].startswith("Test message")
        ida.post(f"{PLACES[2]}{chat.pk}/remove/")
    assert "#releases" not in read(ida, PLACES[2]).partition("Add a chat")[0].partition("Chats</h2>")[2]
    assert "gossip" not in repr(list(AuditEntry.objects.values())) + repr(list(LogChunk.objects.values()))


@pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Olga"])
def test_others_read_and_are_told_why_they_may_not_add(world: World, engine: InlineEngine, name: str) -> None:
    assert "disabled" in read(world.browser(name), PLACES[2])
    answer = world.browser(name).post(PLACES[2], {"name": "x", "url": "slack://a/b/c"})
    assert answer.status_code == 403 and not Chat.objects.exists()


def test_a_stranger_and_a_foreign_chat_are_not_found(world: World, engine: InlineEngine) -> None:
    world.browser("Ida").post(PLACES[2], {"name": "x", "url": "discord://1234567890/abcdefghijkl"})
    chat = Chat.objects.get()
    assert world.browser("Sam").get(PLACES[2]).status_code == 404
    assert world.browser("Sam").post(f"{PLACES[2]}{chat.pk}/remove/").status_code == 404
    assert world.browser("Ida").post(f"{PLACES[2]}{chat.pk + 1}/test/").status_code == 404
    assert world.browser("Ida").get(f"{PLACES[2]}{chat.pk}/test/").status_code == 405


def test_a_wrong_chat_is_marked_at_its_field(world: World, engine: InlineEngine) -> None:
    ida = world.browser("Ida")
    for fields, field in (({"name": "", "url": "slack://a/b/c"}, "name"), ({"name": "x", "url": "syslog://x"}, "url")):
        answer = ida.post(PLACES[2], fields)
        assert answer.status_code == 400 and f'id="{field}-wrong"' in answer.content.decode()
    ida.post(PLACES[2], {"name": "x", "url": "slack://a/b/c"})
    assert "already" in ida.post(PLACES[2], {"name": "x", "url": "slack://a/b/c"}).content.decode()
    assert Chat.objects.count() == 1


# --- my messages -----------------------------------------------------------------------------------------------------


def test_rob_verifies_his_phone(world: World, phones: WebSink) -> None:
    rob = world.browser("Rob")
    assert rob.post(PLACES[1], {"act": "phone", "phone": "021 555 000"}).status_code == 400
    rob.post(PLACES[1], {"act": "phone", "phone": "+64215550001"})
    rob.post(PLACES[1], {"act": "send"})
    (text,) = phones.texts
    code = re.findall(r"\d{6}", text.body)[0]
    assert text.to == "+64215550001" and "Taken" in read(rob, PLACES[1])
    wrong = "000000" if code != "000000" else "000001"
    answer = rob.post(PLACES[1], {"act": "verify", "code": wrong})
    assert answer.status_code == 400 and "4 more tries" in answer.content.decode()
    assert rob.post(PLACES[1], {"act": "verify", "code": code}).status_code == 302
    assert make_user("Rob").verified_phone == "+64215550001" and "Verified" in read(rob, PLACES[1])
    stored = repr(all_rows()) + repr(list(LogChunk.objects.values())) + repr(list(Run.objects.values("title", "cause")))
    assert code not in stored and code not in repr(list(AuditEntry.objects.values()))


def test_a_gateway_that_echoes_the_code_does_not_give_it_away(world: World, phones: WebSink) -> None:
    rob = world.browser("Rob")
    rob.post(PLACES[1], {"act": "phone", "phone": "+64215550001"})
    with mock.patch.object(
        WebSink, "take", lambda sink, text: (sink.tried.append(text) or 500, {"you sent": text.body})
    ):
        rob.post(PLACES[1], {"act": "send"})
    code = re.findall(r"\d{6}", phones.tried[0].body)[0]
    page = read(rob, PLACES[1])
    assert "500" in page and code not in page
    assert code not in repr(list(LogChunk.objects.values())) + repr(list(Run.objects.values("cause")))


def test_codes_are_not_sent_without_end(world: World, phones: WebSink) -> None:
    rob = world.browser("Rob")
    rob.post(PLACES[1], {"act": "phone", "phone": "+64215550001"})
    for _ in range(6):
        rob.post(PLACES[1], {"act": "send"})
    assert len(phones.texts) == 3 and "3 codes have been sent" in read(rob, PLACES[1])
    assert rob.post(PLACES[1], {"act": "send"}).status_code == 409


def test_without_a_gateway_no_code_is_offered(world: World) -> None:
    rob = world.browser("Rob")
    rob.post(PLACES[1], {"act": "phone", "phone": "+64215550001"})
    assert "No gateway for texts is set up yet" in read(rob, PLACES[1])
    assert rob.post(PLACES[1], {"act": "send"}).status_code == 409 and not PhoneCode.objects.exists()


def test_i_choose_what_i_am_told_and_never_less_than_my_part_needs(world: World) -> None:
    rob = world.browser("Rob")
    page = read(rob, PLACES[1])
    assert re.search(r'value="email:approval asked" checked disabled aria-describedby="why-1"', page)
    assert re.search(r'value="text:approved" checked>', page)
    rob.post(PLACES[1], {"act": "choose", "wanted": ["email:approved", "text:nonsense", "x"]})
    off = Unwanted.objects.of(make_user("Rob"))
    assert ("approved", "text") in off and ("approved", "email") not in off
    assert ("approval asked", "email") not in off and ("window open", "email") not in off
    assert re.search(r'value="text:approved">', read(rob, PLACES[1]))
    assert not Unwanted.objects.of(make_user("Mia"))


def test_nobody_sees_anothers_phone_or_choices(world: World) -> None:
    with_phone(make_user("Mia"))
    assert make_user("Mia").phone not in read(world.browser("Rob"), PLACES[1])


# --- RA39 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a robot", "Mia", "Rob", "Olga"])
def test_every_link_of_every_message_opened_by_a_robot_changes_nothing(world: World, who: str) -> None:
    world.open.abort(by=make_user("Ida"), now=NOW)
    Run.objects.filter(pk=world.open.run_id).update(status="aborted", ended_at=NOW)
    type(world.open).objects.filter(pk=world.open.pk).update(active=False)
    commit = make_commit(world.instance)
    prod = make_deployment(world.prod, at="rollback_window", commit=commit)
    bodies = Message.objects.values_list("body", "subject")
    links = {link for words in bodies for text in words for link in re.findall(r"https?://[^\s<>]+", text)}
    ours = {link.removeprefix("http://127.0.0.1:8000") for link in links if "127.0.0.1:8000" in link}
    assert len(ours) >= 4 and any(f"/prod/{prod.number}/" in link for link in ours)
    browser = Client() if who == "a robot" else log_in(who)
    browser.get(PLACES[1])
    before = all_rows(without=["sessions.session", "accounts.auditentry"])
    for link in ours:
        for method in ("get", "head", "options"):
            answer = getattr(browser, method)(link)
            assert answer.status_code < 500
            if who == "a robot":
                assert answer.status_code == 302 and "/login/" in answer["Location"], link
    assert all_rows(without=["sessions.session", "accounts.auditentry"]) == before


def test_the_code_of_a_disabled_person_is_worth_nothing(world: World, phones: WebSink) -> None:
    rob = User.objects.get(email="rob@acme.example")
    rob.introduce(name="Rob", phone="+64215550001", now=NOW)
    trials.send_code(to=rob, now=now())
    world.browser("Rob")
    rob.disable(by=None, now=NOW)
    code = re.findall(r"\d{6}", phones.texts[0].body)[0]
    assert world.browser("Rob").post(PLACES[1], {"act": "verify", "code": code}).status_code == 302
    assert make_user("Rob").verified_phone == ""
