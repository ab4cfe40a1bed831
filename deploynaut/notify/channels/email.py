"""E-mail through Django's mailer: SMTP in production, the page of sent messages in the demo."""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING

from django.core.mail import EmailMessage

from deploynaut.notify.channels.base import ChannelFailed

if TYPE_CHECKING:
    from deploynaut.notify.models import Message


class EmailChannel:
    """One mail to one address."""

    def send(self, message: Message) -> str:
        """Returns "accepted". Raises ChannelFailed with the server's answer."""
        # The id is made of our row, so that a mail sent twice after a crash is seen to be one.
        headers = {"Message-ID": f"<deploynaut-{message.pk}@deploynaut>", "Auto-Submitted": "auto-generated"}
        subject = " ".join(message.subject.split())
        mail = EmailMessage(subject, message.body, to=[message.address], headers=headers)
        try:
            mail.send()
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise ChannelFailed(f"{type(error).__name__}: {error}"[:400]) from error
        return "accepted by the mail server"
