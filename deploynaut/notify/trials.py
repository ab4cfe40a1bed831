"""Messages that somebody asks for: a test of a server, the code for a phone. The worker's answer is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from deploynaut.accounts.models import PhoneCode, User
from deploynaut.accounts.phones import PhoneRefused
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.steps.base import StepFailed, StepResult
from deploynaut.instances.secrets import hide
from deploynaut.notify import servers
from deploynaut.notify.channels import ChannelFailed
from deploynaut.notify.channels.chat import send_chat
from deploynaut.notify.channels.email import send_mail
from deploynaut.notify.channels.text import send_text
from deploynaut.notify.chats import Chat
from deploynaut.runs import subjects
from deploynaut.runs.models import Run

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
    return Run.objects.newest(kind, subject)


def _begin(kind: str, subject: int, title: str, now: datetime) -> Run:
    running = latest(kind, subject)
    if running is not None and not running.ended:
        raise AlreadyTrying
    return Run.objects.begin(
        kind=kind, subject_id=subject, title=title[:200], lock_key=f"{kind}:{subject}", steps=["send"], now=now
    )


# --- what the worker does --------------------------------------------------------------------------------------------


def mail(run: Run, work: subjects.Work) -> StepResult:
    """A mail to the person who asked for it."""
    user = User.objects.get(pk=run.subject_id)
    subject = "Test message of Deploynaut"
    return _told(work, lambda: send_mail(to=user.email, subject=subject, body=_greeting(user)))


def text(run: Run, work: subjects.Work) -> StepResult:
    """A text to the person who asked for it; their number need not be verified."""
    user = User.objects.get(pk=run.subject_id)
    if not user.phone:
        raise StepFailed("Your account has no phone number. Write it down first, under My messages.")
    words = f"Deploynaut: test message for {user.name}. {settings.DEPLOYNAUT_URL}/"
    return _told(work, lambda: send_text(to=user.phone, body=words))


def chat(run: Run, work: subjects.Work) -> StepResult:
    """A message into a chat."""
    to = Chat.objects.get(pk=run.subject_id)
    return _told(work, lambda: send_chat(to, title="Test message of Deploynaut", body="This chat is told of releases."))


def code(run: Run, work: subjects.Work) -> StepResult:
    """A new code to the number of the person who asked for it. The code itself is kept nowhere."""
    try:
        phone, digits = PhoneCode.objects.make(User.objects.get(pk=run.subject_id), now=work.clock())
    except PhoneRefused as refused:
        raise StepFailed(str(refused)) from None
    words = f"Deploynaut: your code is {digits}. It is good for 10 minutes."
    told = _told(work, lambda: send_text(to=phone, body=words, code=digits))
    # The demo has no gateway, so its page is the only place where the code can be read.
    demo = settings.DEPLOYNAUT_DEMO and _kept()
    return StepResult(f"{told.summary}. In this demo the code is {digits}.") if demo else told


def _kept() -> bool:
    return servers.Gateway.objects.current() is None


def _greeting(user: User) -> str:
    return f"Hello {user.name},\n\nthis is the test message that you asked for.\n\n{settings.DEPLOYNAUT_URL}/\n"


def _told(work: subjects.Work, send: Callable[[], str]) -> StepResult:
    """Send it once: whoever waits for the answer sees it, and asks again if they wish."""
    hide(work)
    try:
        return StepResult(send())
    except ChannelFailed as error:
        raise StepFailed(str(error)) from error


def register() -> None:
    """Hand the trials to the runner."""
    for kind, task in ((MAIL, "mail"), (TEXT, "text"), (CHAT, "chat"), (CODE, "code")):
        subjects.register(kind, subjects.Simple(f"deploynaut.notify.trials.{task}", limit=LIMIT))
