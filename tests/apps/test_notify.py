"""The outbox: a message is a row first, sent by the worker, tried again, and never lost in silence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from unittest import mock

import pytest
from pytest_django import Settings

from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.durable.inline import InlineEngine, inline_engine
from deploynaut.notify import attention, ready
from deploynaut.notify.models import LEASE, RETRY, RETRY_TEXT, Chat, Gateway, MailServer, Message, Unwanted
from deploynaut.notify.outbox import send
from deploynaut.notify.preferences import CHANNELS, EVENTS, may_be_off
from deploynaut.runs.models import LogChunk
from tests.builders import NOW, make_deployment, make_environment, make_user
from tests.posts import administrator, phone_of, quick_courier, use_gateway, use_mail, with_phone
from tests.sinks import MailSink, WebSink, chat_sink, gateway_sink, mail_sink

pytestmark = pytest.mark.django_db
SOON = NOW + timedelta(minutes=2)


@pytest.fixture(autouse=True)
def closed(settings: Settings) -> None:
    """What a test opens is closed after it."""
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = False


@pytest.fixture
def engine() -> Iterator[InlineEngine]:
    with inline_engine(now=NOW, automatic=False) as inline:
        yield inline


@pytest.fixture
def mails() -> Iterator[MailSink]:
    with mail_sink() as sink, quick_courier(read="0.3"):
        use_mail(sink)
        yield sink


@pytest.fixture
def phones(mails: MailSink) -> Iterator[WebSink]:
    with gateway_sink() as sink:
        use_gateway(sink)
        yield sink


@pytest.fixture
def deployment(engine: InlineEngine) -> Deployment:
    """One that has ended, whose own messages nobody waits for."""
    ended = make_deployment(at="succeeded")
    Message.objects.get_queryset().update(status="given up")
    engine.settle()
    Message.objects.get_queryset().delete()
    LogChunk.objects.all().delete()
    return ended


def log(deployment: Deployment) -> str:
    return "".join(LogChunk.objects.filter(run=deployment.run).values_list("text", flat=True))


def queue(deployment: Deployment, *names: str, event: str = "succeeded", also: tuple[str, ...] = ()) -> list[Message]:
    people = [make_user(name) for name in names]
    instance = deployment.environment.instance_id
    said = {"subject": "Acme: live", "body": "It is live.\n", "text": "Acme: live. http://x/"}
    return Message.objects.queue(
        run=deployment.run, event=event, to=people, also=also, instance=instance, now=NOW, **said
    )


def test_a_message_reaches_a_real_mail_server_once(engine: InlineEngine, mails: MailSink) -> None:
    deployment = make_deployment(at="succeeded")
    engine.run_due(NOW + timedelta(minutes=5))
    message = Message.objects.get()
    (mail,) = mails.mails
    assert mail.to == [deployment.initiator.email] == [mail.message["To"]]
    assert mail.message["Message-ID"] == f"<deploynaut-{message.pk}@deploynaut>"
    assert "is live on uat" in mail.message["Subject"] and deployment.get_absolute_url() in mail.body
    assert message.status == "sent" and message.result == "250 2.0.0 queued as 4F2A"
    send(message.pk)
    assert len(mails.mails) == 1, "a wake that comes twice sends nothing twice"
    assert f"e-mail to {deployment.initiator.email} sent: 250 2.0.0" in log(deployment)


def test_a_message_that_is_not_taken_is_tried_again_and_then_given_up(
    engine: InlineEngine, mails: MailSink, deployment: Deployment
) -> None:
    mails.answer = "451 4.3.0 later"
    (message,) = queue(deployment, "Rob")
    now = NOW + timedelta(minutes=1)
    engine.run_due(now)
    message.refresh_from_db()
    assert (message.status, message.attempts, message.result) == ("waiting", 1, "451 4.3.0 later")
    assert message.next_try_at == now + timedelta(seconds=RETRY[0])
    for wait in RETRY:
        now += timedelta(seconds=wait + 1)
        engine.run_due(now)
    message.refresh_from_db()
    assert message.status == "given up" and message.attempts == len(RETRY) + 1
    assert log(deployment).count("could not be sent: 451 4.3.0 later") == len(RETRY) + 1 and "; given up" in log(
        deployment
    )


def test_an_address_that_does_not_exist_is_given_up_at_once(
    engine: InlineEngine, mails: MailSink, deployment: Deployment
) -> None:
    mails.refuse = {"rob@acme.example": "550 5.1.1 no such user"}
    (message,) = queue(deployment, "Rob")
    engine.run_due(SOON)
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("given up", 1)


def test_a_name_cannot_add_lines_to_a_mail_or_an_addressee(
    engine: InlineEngine, phones: WebSink, mails: MailSink, deployment: Deployment
) -> None:
    person = make_user("Ann")
    with_phone(person)
    Message.objects.queue(
        run=deployment.run, event="succeeded", to=[person, person],
        subject="Hello\r\nBcc: evil@example.org", body="text", now=NOW,
    )  # fmt: skip
    engine.run_due(SOON)
    (mail,) = mails.mails
    assert mail.message["Bcc"] is None and mail.to == ["ann@acme.example"]
    (text,) = phones.texts
    assert text.to == phone_of("Ann")


@pytest.mark.parametrize(
    "words",
    [
        "a@acme.example, b@acme.example", "a@acme.example\nBcc: b@acme.example", "a@acme.example;b@acme.example",
        "Ann <a@acme.example>", "+64 21 555 000,+64 21 555 001", "021 555 000", "+64215550001\r\n+64215550002", "@",
    ],
)  # fmt: skip
def test_what_could_be_two_addressees_is_none(
    engine: InlineEngine, phones: WebSink, deployment: Deployment, words: str
) -> None:
    assert queue(deployment, also=(words,)) == []
    assert "neither an address nor a number" in log(deployment)


def test_who_is_disabled_is_told_nothing(engine: InlineEngine, deployment: Deployment) -> None:
    make_user("Ann").disable(by=None, now=NOW)
    assert not queue(deployment, "Ann")


def test_the_pipeline_file_adds_addresses_and_numbers_for_an_event(engine: InlineEngine, phones: WebSink) -> None:
    pipeline = 'notify:\n  succeeded: [boss@acme.example, rob@acme.example, "+64 21 555 000"]\n'
    make_deployment(make_environment(pipeline=pipeline), at="succeeded")
    found = Message.objects.values_list("channel", "address")
    assert sorted(found) == [("email", "boss@acme.example"), ("email", "rob@acme.example"), ("text", "+6421555000")]
    engine.run_due(SOON)
    assert [text.to for text in phones.texts] == ["+6421555000"]


# --- texts and chats -------------------------------------------------------------------------------------------------


def test_a_text_goes_to_a_verified_phone_and_to_no_other(
    engine: InlineEngine, phones: WebSink, deployment: Deployment
) -> None:
    ann, bob = make_user("Ann"), make_user("Bob")
    with_phone(ann)
    bob.introduce(name="Bob", phone="+64215559999", now=NOW)
    queue(deployment, "Ann", "Bob")
    engine.run_due(SOON)
    assert [(text.to, text.body) for text in phones.texts] == [(phone_of("Ann"), "Acme: live. http://x/")]
    assert "by e-mail alone to Bob: no verified phone" in log(deployment)
    assert f"text to Ann, +64…{phone_of('Ann')[-3:]} sent: 201 Created" in log(deployment)
    assert phone_of("Ann") not in log(deployment)


def test_a_number_that_was_changed_meanwhile_gets_nothing(
    engine: InlineEngine, phones: WebSink, deployment: Deployment
) -> None:
    ann = make_user("Ann")
    with_phone(ann)
    queue(deployment, "Ann")
    ann.introduce(name="Ann", phone="+64215559999", now=NOW)
    engine.run_due(SOON)
    assert phones.tried == [] and "this number is not theirs any more; given up" in log(deployment)


def test_without_a_gateway_people_are_told_by_mail_alone_and_the_log_says_so(
    engine: InlineEngine, mails: MailSink, deployment: Deployment
) -> None:
    with_phone(make_user("Ann"))
    assert not ready() and "No gateway" in attention.missing()
    (message,) = queue(deployment, "Ann")
    assert message.channel == "email"
    assert "by e-mail alone to Ann: no gateway for texts is set up" in log(deployment)


def test_a_gateway_that_is_down_for_five_minutes_leaves_the_mail_alone(
    engine: InlineEngine, phones: WebSink, mails: MailSink, deployment: Deployment
) -> None:
    assert sum(RETRY_TEXT) == 300 and ready() and attention.missing() == ""
    with_phone(make_user("Ann"))
    phones.do = "500"
    queue(deployment, "Ann", also=("+64 21 555 000",))
    now = NOW
    for wait in (1, *RETRY_TEXT):
        now += timedelta(seconds=wait)
        engine.run_due(now)
    own, other = Message.objects.filter(channel="text").order_by("pk")
    assert own.status == "given up" and other.status == "waiting", "who has no e-mail is tried for longer"
    assert "given up, the e-mail stands alone" in log(deployment)
    assert [mail.to for mail in mails.mails] == [["ann@acme.example"]]


def test_a_server_that_took_it_and_said_nothing_gets_it_twice_at_most(
    engine: InlineEngine, phones: WebSink, mails: MailSink, deployment: Deployment
) -> None:
    with_phone(make_user("Ann"))
    phones.do = "swallow"
    queue(deployment, "Ann")
    for minutes in range(1, 20):
        engine.run_due(NOW + timedelta(minutes=minutes))
    assert len(phones.texts) == 2
    assert Message.objects.get(channel="text").status == "given up" and "it may have arrived" in log(deployment)


def test_a_message_in_hand_is_nobody_elses_until_its_worker_is_surely_dead(
    engine: InlineEngine, mails: MailSink, deployment: Deployment
) -> None:
    (message,) = queue(deployment, "Rob")
    assert message.take(now=NOW) and not message.take(now=NOW)
    engine.run_due(NOW + LEASE / 2)
    assert mails.mails == []
    engine.run_due(NOW + LEASE)
    engine.reconcile()
    assert len(mails.mails) == 1, "a worker that died in it delays it, no more"


def test_a_chat_of_the_instance_is_told_and_a_removed_one_is_not(
    engine: InlineEngine, mails: MailSink, deployment: Deployment, settings: Settings
) -> None:
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = True
    ida = make_user("Ida", Role.INSTANCE_MANAGER, instance=deployment.environment.instance)
    with chat_sink() as one, chat_sink() as other:
        chats = [
            Chat.objects.add(instance=deployment.environment.instance, name=name, url=sink.url, by=ida, now=NOW)
            for name, sink in (("#one", one), ("#other", other))
        ]
        assert "gossip" not in repr(Chat.objects.values())
        queue(deployment, "Rob")
        Chat.objects.remove(chats[1], by=ida, now=NOW)
        engine.run_due(SOON)
        assert [(post["title"], post["message"]) for post in one.posts] == [("Acme: live", "Acme: live. http://x/")]
        assert other.tried == []
    assert "chat to #one sent: 201" in log(deployment) and "this chat was removed" in log(deployment)
    assert Chat.objects.get(name="#other").url == ""


# --- what people choose ----------------------------------------------------------------------------------------------


def test_what_somebody_must_be_told_cannot_be_switched_off_by_any_choice(
    engine: InlineEngine, phones: WebSink, deployment: Deployment
) -> None:
    ann = make_user("Ann")
    with_phone(ann)
    Unwanted.objects.choose(ann, (), now=NOW)
    Unwanted.objects.bulk_create(
        Unwanted(user=ann, event=e, channel=c) for e in EVENTS for c in CHANNELS if not may_be_off(e, c)
    )
    for event, known in EVENTS.items():
        sent = {message.channel for message in queue(deployment, "Ann", event=event)}
        assert sent == set(known.always), event
    for event in ("approval asked", "rollback failed", "break glass", "host differs"):
        assert EVENTS[event].always == set(CHANNELS)
    for event in ("window open", "succeeded", "rolled back", "failed", "aborted"):
        assert "email" in EVENTS[event].always


def test_an_event_that_is_new_is_told_to_all(engine: InlineEngine, phones: WebSink, deployment: Deployment) -> None:
    ann = make_user("Ann")
    with_phone(ann)
    Unwanted.objects.choose(ann, (), now=NOW)
    assert {message.channel for message in queue(deployment, "Ann", event="something new")} == {"email", "text"}


def test_choosing_is_written_down_and_a_choice_for_nothing_known_is_left_out() -> None:
    ann = make_user("Ann")
    everything = {(e, c) for e in EVENTS for c in CHANNELS}
    Unwanted.objects.choose(ann, everything - {("approved", "text")} | {("x", "y")}, now=NOW)
    assert Unwanted.objects.of(ann) == {("approved", "text")}


# --- RF25 ------------------------------------------------------------------------------------------------------------


def test_rf25_a_day_with_gateways_that_are_down_slow_busy_or_silent(
    engine: InlineEngine, phones: WebSink, mails: MailSink, deployment: Deployment
) -> None:
    """A quarter of an hour of each trouble, in a day of a message each half hour to a group and later to the next."""
    names = ("Ann", "Bob")
    with_phone(*(make_user(name) for name in names))
    troubles = {4: "500", 8: "slow", 12: "429", 16: "swallow"}
    slowest, order = 0.0, []
    for minute in range(0, 24 * 60, 5):
        hour, within = divmod(minute, 60)
        trouble = troubles.get(hour, "ok") if within < 15 else "ok"
        phones.do = trouble
        mails.answer = "451 4.3.0 later" if trouble == "500" else "250 OK"
        if minute % 30 == 0:
            began = time.monotonic()
            body = f"message {minute}"
            for name in names:
                Message.objects.queue(run=deployment.run, event="approval asked", to=[make_user(name)], subject=body,
                                      body=body, text=body, now=NOW + timedelta(minutes=minute))  # fmt: skip
            slowest = max(slowest, time.monotonic() - began)
            order.append(body)
        for second in (0, 60, 120, 180, 240):
            engine.run_due(NOW + timedelta(minutes=minute, seconds=second))
    engine.run_due(NOW + timedelta(days=2))
    assert slowest < 1, "whoever queues waits for no gateway"
    sent = Counter((mail.to[0], mail.message["Subject"]) for mail in mails.mails)
    assert set(sent) == {(f"{name.lower()}@acme.example", body) for name in names for body in order}
    assert set(sent.values()) == {1}, "every mail once"
    # The server took it: twice at most. What met a gateway that was down for five minutes came by mail alone.
    taken = Counter((text.to, text.body) for text in phones.texts)
    assert max(taken.values()) <= 2
    in_trouble = {f"message {hour * 60}" for hour in troubles}
    missed = {body for name in names for body in order if (phone_of(name), body) not in taken}
    assert missed <= in_trouble and log(deployment).count("the e-mail stands alone") >= 4
    assert all(taken[phone_of(name), body] == 1 for name in names for body in order if body not in in_trouble)
    for name in names:
        got = list(dict.fromkeys(text.body for text in phones.tried if text.to == phone_of(name)))
        assert got == order, "in the order of asking"
    assert not Message.objects.filter(status="waiting").exists()


def test_a_worker_that_cannot_open_a_secret_says_so_and_tries_again(
    engine: InlineEngine, phones: WebSink, deployment: Deployment
) -> None:
    with_phone(make_user("Ann"))
    Gateway.objects.update(url="not sealed by us")
    queue(deployment, "Ann")
    engine.run_due(SOON)
    text = Message.objects.get(channel="text")
    assert text.status == "waiting" and "cannot be opened" in text.result
    assert MailServer.objects.count() == 1 and administrator().name == "Ada"


def test_nothing_is_sent_while_a_transaction_is_open(mails: MailSink, deployment: Deployment) -> None:
    with mock.patch("deploynaut.notify.outbox.CHANNELS") as channels:
        queue(deployment, "Rob")
        channels.__getitem__.assert_not_called()


def test_the_demo_keeps_its_texts_on_the_page_of_messages(
    engine: InlineEngine, mails: MailSink, deployment: Deployment, settings: Settings
) -> None:
    settings.DEPLOYNAUT_DEMO = True
    with_phone(make_user("Ann"))
    assert ready() and attention.missing() == ""
    queue(deployment, "Ann")
    engine.run_due(SOON)
    text = Message.objects.get(channel="text")
    assert text.status == "sent" and "kept on the page of messages" in text.result
