"""Messages that somebody asks for: a test of a server, the code for a phone. The worker's answer is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from deploynaut.accounts.models import PhoneCode, User
from deploynaut.accounts.phones import PhoneRefused
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.pipeline import Decision, Event
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.instances.secrets import hide
from deploynaut.notify import servers
from deploynaut.notify.channels import ChannelFailed
from deploynaut.notify.channels.chat import send_chat
from deploynaut.notify.channels.email import send_mail
from deploynaut.notify.channels.text import send_text
from deploynaut.notify.chats import Chat
from deploynaut.runs import subjects
from deploynaut.runs.models import Run, StepRun

MAIL, TEXT, CHAT, CODE = "test_mail", "test_text", "test_chat", "phone_code"
LIMIT = timedelta(minutes=2)


class AlreadyTrying(Exception):
    """The one before has not ended; the page shows it."""


def try_mail(*, by: User, now: datetime) -> Run:
    """Send me a test message, by e-mail. Raises NotAllowed, AlreadyTrying."""
    require(by, Right.SYSTEM_SETTINGS)
    return _begin(MAIL, by.pk, f"test message to {by.email}", now)


def try_text(*, by: User, now: datetime) -> Run:
    """Send me a test message, as a text. Raises NotAllowed, AlreadyTrying."""
    require(by, Right.SYSTEM_SETTINGS)
    return _begin(TEXT, by.pk, f"test text to {by.name}", now)


def try_chat(chat: Chat, *, by: User, now: datetime) -> Run:
    """Send a test into a chat. Raises NotAllowed, AlreadyTrying."""
    require(by, Right.EDIT_ENVIRONMENT, instance=chat.instance_id, place=chat.instance.name)
    return _begin(CHAT, chat.pk, f"test message to {chat}", now)


def send_code(*, to: User, now: datetime) -> Run:
    """Have the worker send a code to one's own number. Raises PhoneRefused, AlreadyTrying."""
    if not servers.ready():
        raise PhoneRefused("No gateway for texts is set up yet. An Administrator can do that in the system's settings.")
    PhoneCode.objects.refuse_too_many(to, now=now)
    return _begin(CODE, to.pk, f"code for {to.name}", now)


def latest(kind: str, subject: int) -> Run | None:
    """The newest one, running or ended."""
    return Run.objects.filter(kind=kind, subject_id=subject).order_by("-pk").first()


def _begin(kind: str, subject: int, title: str, now: datetime) -> Run:
    running = latest(kind, subject)
    if running is not None and not running.ended:
        raise AlreadyTrying
    return Run.objects.begin(
        kind=kind, subject_id=subject, title=title[:200], lock_key=f"{kind}:{subject}", steps=["send"], now=now
    )


# --- what the worker does --------------------------------------------------------------------------------------------


def _mail(run: Run, work: subjects.Work) -> str:
    user = User.objects.get(pk=run.subject_id)
    return send_mail(to=user.email, subject="Test message of Deploynaut", body=_greeting(user))


def _text(run: Run, work: subjects.Work) -> str:
    user = User.objects.get(pk=run.subject_id)
    if not user.phone:
        raise StepFailed("Your account has no phone number. Write it down first, under Messages.")
    return send_text(to=user.phone, body=f"Deploynaut: test message for {user.name}. {settings.DEPLOYNAUT_URL}/")


def _chat(run: Run, work: subjects.Work) -> str:
    chat = Chat.objects.get(pk=run.subject_id)
    return send_chat(chat, title="Test message of Deploynaut", body="This chat is told about releases.")


def _code(run: Run, work: subjects.Work) -> str:
    try:
        phone, code = PhoneCode.objects.make(User.objects.get(pk=run.subject_id), now=work.clock())
    except PhoneRefused as refused:
        raise StepFailed(str(refused)) from None
    told = send_text(to=phone, body=f"Deploynaut: your code is {code}. It is good for 10 minutes.", code=code)
    # The demo has no gateway, so its page is the only place where the code can be read.
    return f"{told}. In this demo the code is {code}." if settings.DEPLOYNAUT_DEMO and _kept() else told


def _kept() -> bool:
    return servers.Gateway.objects.current() is None


def _greeting(user: User) -> str:
    return f"Hello {user.name},\n\nthis is the test message that you asked for.\n\n{settings.DEPLOYNAUT_URL}/\n"


class Trial:
    """A run of one message: its answer is the summary, its failure the cause."""

    def __init__(self, send: Callable[[Run, subjects.Work], str]) -> None:
        self._send = send

    def limit(self, run: Run, step: StepRun) -> timedelta:
        """Longer than the courier needs."""
        return LIMIT

    def opens(self, run: Run, step: StepRun, *, now: datetime) -> datetime | None:
        """No gates here."""
        return None

    def perform(self, run: Run, step: StepRun, work: subjects.Work) -> StepResult:
        """Send it once: whoever waits for the answer sees it, and asks again if they wish."""
        hide(work)
        try:
            return StepResult(self._send(run, work))
        except ChannelFailed as error:
            raise StepFailed(str(error)) from error

    def heard(self, run: Run, event: Event, decision: Decision, *, now: datetime) -> None:
        """The run's own rows tell all there is to tell."""


def register() -> None:
    """Hand the trials to the runner."""
    for kind, send in ((MAIL, _mail), (TEXT, _text), (CHAT, _chat), (CODE, _code)):
        subjects.register(kind, Trial(send))
