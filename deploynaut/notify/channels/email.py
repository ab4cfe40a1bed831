"""E-mail: by SMTP in a child process, or by Django's own mailer where that is another one (the demo's folder)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.message import sanitize_address

from deploynaut.engine.vault import VaultError
from deploynaut.notify.channels.base import ChannelFailed, taken
from deploynaut.notify.courier import hand_over
from deploynaut.notify.servers import MailServer

if TYPE_CHECKING:
    from deploynaut.notify.models import Message

SMTP = "django.core.mail.backends.smtp.EmailBackend"


class EmailChannel:
    """One mail to one address."""

    def send(self, message: Message) -> str:
        """The server's answer. Raises ChannelFailed."""
        # The id is made of our row, so that a mail sent twice after a crash is seen to be one.
        mail_id = f"<deploynaut-{message.pk}@deploynaut>"
        return send_mail(to=message.address, subject=message.subject, body=message.body, mail_id=mail_id)


def send_mail(*, to: str, subject: str, body: str, mail_id: str = "") -> str:
    """A mail to one address, by the server that is set up; its answer. Raises ChannelFailed."""
    server = MailServer.objects.current()
    headers = {"Auto-Submitted": "auto-generated"} | ({"Message-ID": mail_id} if mail_id else {})
    sender = server.sender if server else settings.DEFAULT_FROM_EMAIL
    mail = EmailMessage(" ".join(subject.split()), body, sender, [to], headers=headers)
    try:
        if server is None and settings.EMAIL_BACKEND != SMTP:
            mail.send()
            return "kept by this installation: no mail server is set up"
        return taken(hand_over(_parcel(_way(server), mail, to)))
    except (OSError, ValueError, VaultError) as error:
        raise ChannelFailed(f"{type(error).__name__}: {error}"[:400]) from error


def _parcel(way: dict[str, Any], mail: EmailMessage, to: str) -> dict[str, Any]:
    encoded = mail.message().as_bytes().decode("utf-8", "surrogateescape")
    envelope = {
        "sender": sanitize_address(mail.from_email, "utf-8").rpartition("<")[2].rstrip(">"),
        "to": sanitize_address(to, "utf-8"),
    }
    return {"by": "smtp", "mail": encoded, **envelope, **way}


def _way(server: MailServer | None) -> dict[str, Any]:
    """How the server is reached: as an Administrator has set it, else as the installation's settings say."""
    if server is not None:
        password = server.open_password()
        return {"host": server.host.strip("[]"), "port": server.port, "tls": server.tls, "user": server.user,
                "password": password}  # fmt: skip
    tls = "tls" if settings.EMAIL_USE_SSL else "starttls" if settings.EMAIL_USE_TLS else "none"
    return {
        "host": settings.EMAIL_HOST,
        "port": settings.EMAIL_PORT,
        "tls": tls,
        "user": settings.EMAIL_HOST_USER,
        "password": settings.EMAIL_HOST_PASSWORD,
    }
