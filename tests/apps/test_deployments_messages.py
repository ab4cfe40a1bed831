"""Who is told what: each ending, each addressee, by e-mail and by text, read from the servers that took them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

import pytest
from pytest_django import Settings

from deploynaut.accounts.models import User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.messages import people, tell
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.wording import ONE_TEXT, PLACEHOLDER, _fields, fill, words
from deploynaut.durable.inline import InlineEngine, inline_engine
from deploynaut.engine.pipeline import DeadlinePassed, EscalationDue, Notice, PlanChanged, To
from deploynaut.instances.models import Environment
from deploynaut.notify.models import Message
from deploynaut.notify.outbox import send
from deploynaut.notify.preferences import EVENTS
from tests.builders import NOW, Story, make_deployment, make_environment, make_instance, make_user
from tests.posts import phone_of, quick_courier, use_gateway, use_mail, with_phone
from tests.sinks import MailSink, WebSink, gateway_sink, mail_sink

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
LATER = NOW + timedelta(days=30)

SAYS = {
    "approval asked": r"asks for approval|approval was asked|asks you to approve",
    "approved": r"is approved",
    "rejected": r"was rejected",
    "expired": r"has expired",
    "void": r"is void",
    "attendance taken": r"attends the release",
    "window open": r"can be rolled back|roll back or dismiss",
    "succeeded": r"is live on (uat|prod)(\. http|$)",
    "failed": r"release of \S+ to \S+ failed",
    "aborted": r"was aborted",
    "rollback begun": r"is being put back",
    "rolled back": r"was put back",
    "rollback failed": r"needs a person now",
    "site fails untouched": r"fails its tests",
    "break glass": r"WITHOUT approval",
    "withdrawn": r"was withdrawn|withdrew",
}
"""What a mail's subject or a text says, by event: they are told apart by their words alone."""


@dataclass
class World:
    """Everybody has a phone; what is on its way is sent by `arrived`."""

    engine: InlineEngine
    mails: MailSink
    phones: WebSink
    uat: Environment
    prod: Environment

    def arrived(self, place: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """By event, who got a mail and who got a text about a release to `place`."""
        self.send()
        link = f"/{place}/"
        mails = [
            (mail.message["Subject"], mail.to[0].partition("@")[0]) for mail in self.mails.mails if link in mail.body
        ]
        texts = [(text.body, self._whose(text.to)) for text in self.phones.texts if link in text.body]
        return _by_event(mails), _by_event(texts)

    def send(self) -> None:
        """What is on its way, and nothing else: no gate's time runs out by it."""
        before, self.engine.clock = self.engine.clock, LATER
        for message in Message.objects.filter(status="waiting"):
            send(message.pk)
        self.engine.clock = before

    def _whose(self, phone: str) -> str:
        return next(name.lower() for name in ("Rob", "Mia", "Ida", "Olga", "Kim") if phone_of(name) == phone)


def _by_event(found: list[tuple[str, str]]) -> dict[str, set[str]]:
    told: dict[str, list[str]] = {}
    for said, who in found:
        (event,) = [event for event, pattern in SAYS.items() if re.search(pattern, said, re.IGNORECASE)]
        told.setdefault(event, []).append(who)
    return {event: set(names) for event, names in told.items()}


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    settings.DEPLOYNAUT_PRIVATE_GATEWAYS = True
    with inline_engine(now=NOW, automatic=False) as engine, mail_sink() as mails, gateway_sink() as phones:
        use_mail(mails)
        use_gateway(phones)
        instance = make_instance()
        uat, prod = make_environment(instance), make_environment(instance, "prod", kind="production")
        staff = (Role.TECHNICAL_STAFF, Role.DEPLOYMENT_MANAGER, Role.INSTANCE_MANAGER, Role.OPS)
        for name, role in zip(("Rob", "Mia", "Ida", "Olga"), staff, strict=True):
            with_phone(make_user(name, role, instance=instance))
        with quick_courier():
            yield World(engine, mails, phones, uat, prod)


def ida() -> User:
    return make_user("Ida")


def _abort(deployment: Deployment) -> None:
    deployment.abort(by=ida(), now=NOW + HOUR)


def _reject(deployment: Deployment) -> None:
    deployment.reject(by=make_user("Mia"), plan_hash=deployment.plan_hash, reason="Not today", now=NOW + HOUR)


def _expire(deployment: Deployment) -> None:
    deployment.run.apply(DeadlinePassed("approval"), now=NOW + timedelta(days=8))


def _escalate(deployment: Deployment) -> None:
    deployment.run.apply(EscalationDue("approval"), now=NOW + 2 * HOUR)


def _void(deployment: Deployment) -> None:
    deployment.run.apply(PlanChanged("the pipeline was edited"), now=NOW + HOUR)


def _attend(deployment: Deployment) -> None:
    deployment.take_over(by=ida(), now=NOW + HOUR)


def _roll_back(deployment: Deployment) -> None:
    deployment.roll_back(by=ida(), now=NOW + timedelta(minutes=10))
    story = Story(deployment, NOW + timedelta(minutes=10))
    while not story.run.ended:
        story.do()


def _close(deployment: Deployment) -> None:
    deployment.run.apply(DeadlinePassed("rollback_window"), now=NOW + 3 * HOUR)


def _withdraw(deployment: Deployment) -> None:
    deployment.withdraw(by=ida(), reason="A wrong price on the front page", now=NOW + HOUR)


def _nothing(deployment: Deployment) -> None:
    """It has ended already."""


ASKED = {"approval asked": {"mia", "rob"}}
YES = {**ASKED, "approved": {"rob", "mia"}}
BACK = {"rollback begun": {"rob", "mia"}}

TABLE: list[tuple[str, str, str, Callable[[Deployment], None], dict[str, set[str]]]] = [
    ("UAT succeeds", "uat", "succeeded", _nothing, {"succeeded": {"rob"}}),
    ("UAT fails before the site changed", "uat", "failed", _nothing, {"failed": {"rob"}}),
    ("UAT goes back", "uat", "rolled back", _nothing, {"rollback begun": {"rob"}, "rolled back": {"rob"}}),
    ("UAT cannot go back", "uat", "rollback failed", _nothing,
     {"rollback begun": {"rob"}, "rollback failed": {"rob", "olga"}}),
    ("UAT is aborted by another", "uat", "queued", _abort, {"aborted": {"rob", "ida"}}),
    ("UAT is withdrawn", "uat", "succeeded", _withdraw, {"succeeded": {"rob"}, "withdrawn": {"rob"}}),
    ("approval is asked", "prod", "approval", _nothing, ASKED),
    ("nobody answers: the next group", "prod", "approval", _escalate, {"approval asked": {"mia", "rob", "ida"}}),
    ("rejected", "prod", "approval", _reject, {**ASKED, "rejected": {"rob", "mia"}}),
    ("expired", "prod", "approval", _expire, {**ASKED, "expired": {"rob", "mia"}}),
    ("void", "prod", "confirm", _void, {**YES, "void": {"rob", "mia"}}),
    ("another attends", "prod", "confirm", _attend, {**YES, "attendance taken": {"rob", "mia", "ida"}}),
    ("aborted by another at the approval", "prod", "approval", _abort, {**ASKED, "aborted": {"rob", "ida"}}),
    ("aborted by another after it", "prod", "confirm", _abort, {**YES, "aborted": {"rob", "mia", "ida"}}),
    ("fails before the site changed", "prod", "failed", _nothing, {**YES, "failed": {"rob", "mia"}}),
    ("goes back by itself", "prod", "rolled back", _nothing, {**YES, **BACK, "rolled back": {"rob", "mia"}}),
    ("cannot go back", "prod", "rollback failed", _nothing, {**YES, **BACK, "rollback failed": {"rob", "olga"}}),
    ("the window is open", "prod", "rollback_window", _nothing, {**YES, "window open": {"rob"}}),
    ("dismissed", "prod", "succeeded", _nothing, {**YES, "window open": {"rob"}, "succeeded": {"rob"}}),
    ("the window closes", "prod", "rollback_window", _close, {**YES, "window open": {"rob"}, "succeeded": {"rob"}}),
    ("rolled back by another in the window", "prod", "rollback_window", _roll_back,
     {**YES, "window open": {"rob"}, **BACK, "rolled back": {"rob", "mia", "ida"}}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "at", "act", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_who_is_told_by_mail_and_by_text(
    world: World, place: str, at: str, act: Callable[[Deployment], None], wanted: dict[str, set[str]]
) -> None:
    if at in ("rolled back", "rollback failed") or act is _roll_back:
        make_deployment(world.prod if place == "prod" else world.uat, at="succeeded", now=NOW - 24 * HOUR)
        world.arrived(place)
        world.mails.mails.clear()
        world.phones.texts.clear()
    deployment = make_deployment(world.prod if place == "prod" else world.uat, at=at)
    act(deployment)
    mails, texts = world.arrived(place)
    assert (mails, texts) == (wanted, wanted)
    log = "".join(deployment.run.log.values_list("text", flat=True))
    for message in deployment.run.messages.all():
        assert message.status == "sent" and f"{message.place} sent: 2" in log


def test_break_glass_tells_all_approvers_and_instance_managers_at_once(world: World) -> None:
    deployment = make_deployment(world.prod, at="approval")
    tell(deployment, Notice("break glass", (To.MANAGERS,)), now=NOW)
    mails, texts = world.arrived("prod")
    assert mails["break glass"] == texts["break glass"] == {"mia", "ida"}


def test_ops_are_told_of_a_site_that_fails_and_of_a_host_that_differs(world: World) -> None:
    deployment = make_deployment(world.uat, at="succeeded")
    for event in ("site fails untouched", "host differs"):
        assert people(deployment, Notice(event, (To.OPS, To.INITIATOR))) == [make_user("Olga"), deployment.initiator]
        tell(deployment, Notice(event, (To.OPS,)), now=NOW)
    world.send()
    assert sum(text.to == phone_of("Olga") for text in world.phones.texts) == 2


def test_the_initiator_is_told_once_that_approval_is_asked_and_in_other_words(world: World) -> None:
    deployment = make_deployment(world.prod, at="approval")
    _escalate(deployment)
    own = Message.objects.filter(user=deployment.initiator, event="approval asked", channel="email")
    assert "You began the release" in own.get().body
    asked = Message.objects.filter(user=make_user("Mia"), event="approval asked", channel="text").get()
    assert asked.body.startswith("Acme: Rob asks you to approve") and "/instances/acme/prod/" in asked.body


# --- the words -------------------------------------------------------------------------------------------------------


def test_every_event_has_its_text_and_every_text_its_placeholders(world: World) -> None:
    deployment = make_deployment(world.prod, at="approval")
    folder = resources.files("deploynaut.deployments") / "texts"
    texts = {file.name.removesuffix(".txt").replace("_", " ") for file in folder.iterdir()}
    assert texts - {"approval asked initiator"} == set(EVENTS)
    known = set(_fields(deployment))
    for file in folder.iterdir():
        content = file.read_text("utf-8")
        assert set(PLACEHOLDER.findall(content)) <= known, file.name
        assert content.split("\n")[1].startswith("Text: "), file.name


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_a_text_is_one_short_line_with_its_link_however_long_the_names(
    world: World, event: str, settings: Settings
) -> None:
    deployment = make_deployment(world.prod, at="confirm")
    deployment.environment.instance.title = "The Ministry of Very Long Names and Even Longer Departments " * 2
    deployment.chosen_name = "feature/" + "x" * 200
    deployment.outcome = "Failed. " * 200
    settings.DEPLOYNAUT_URL = "https://deploy.ministry.example"
    text = words(deployment, event).text
    assert len(text) <= ONE_TEXT and "\n" not in text
    assert re.search(r"https://deploy\.ministry\.example/instances/acme/prod/\d+/(approval/)?$", text)


HOSTILE = "x\r\nBcc: evil@acme.example\n<pipelinelink> $outcome ${x} {0} %(x)s {{ x }}\u202e\x1b[31m"


def test_what_people_typed_begins_no_line_and_is_not_looked_at_again(world: World) -> None:
    deployment = make_deployment(world.prod, at="approval")
    deployment.chosen_name = deployment.environment.instance.title = HOSTILE
    for event in EVENTS:
        said = words(deployment, event)
        assert said.subject.isprintable() and said.text.isprintable()
        assert not re.search(r"^Bcc", said.body, re.MULTILINE) and "\u202e" not in said.body
        assert "<pipelinelink> $outcome ${x} {0} %(x)s {{ x }}" in said.subject


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("<requester> to <environment>", "Rob to prod"),
        ("<nobody> <REQUESTER> < requester> <requester", "<nobody> <REQUESTER> < requester> <requester"),
        ("$requester {requester} %(requester)s", "$requester {requester} %(requester)s"),
        ("<requester-email>", "rob@acme.example"),
    ],
)
def test_placeholders_are_the_originals_and_what_is_unknown_stays(world: World, template: str, filled: str) -> None:
    assert fill(template, _fields(make_deployment(world.prod, at="approval"))) == filled


def test_the_pipeline_file_has_words_of_its_own(world: World) -> None:
    own = (
        'messages:\n  approval_asked: {subject: "<project>: <requester> wants an answer", text: "Sign <approvelink>"}\n'
    )
    world.prod.pipeline = own
    world.prod.save(update_fields=["pipeline"])
    deployment = make_deployment(world.prod, at="approval")
    said = words(deployment, "approval asked")
    assert said.subject == "Acme: Rob wants an answer" and re.fullmatch(r"Sign http\S+", said.text)
    assert "asks you to approve a release" in said.body, "what is left out is said as always"
    assert "You began" in words(deployment, "approval asked", own=True).body
    world.send()
    subjects = {mail.to[0]: mail.message["Subject"] for mail in world.mails.mails if "/prod/" in mail.body}
    assert subjects["mia@acme.example"] == "Acme: Rob wants an answer"


def test_a_file_that_cannot_be_read_any_more_does_not_keep_people_from_being_told(world: World) -> None:
    deployment = make_deployment(world.uat, at="release")
    deployment.pipeline = "steps: [nonsense"
    tell(deployment, Notice("failed", (To.INITIATOR,)), now=NOW)
    assert Message.objects.filter(event="failed", user=deployment.initiator).count() == 2
