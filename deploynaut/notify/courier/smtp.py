"""The mail server's own words: one dialogue, each answer looked at."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from typing import Any

from deploynaut.notify.courier.answers import Told

EACH = 10.0
"""Seconds for one answer."""
_LATE = f"no answer within {EACH:.0f} s"


def deliver(parcel: Mapping[str, Any]) -> Told:
    """Hand one mail to the server, for one address."""
    handed = False
    try:
        with _connected(parcel) as server:
            _greet(server, parcel)
            _accepted(*server.mail(parcel["sender"]))
            _accepted(*server.rcpt(parcel["to"]), final=True)
            _accepted(*server.docmd("DATA"), wanted=354)
            handed = True
            return _sent(server, parcel["mail"].encode("utf-8", "surrogateescape"))
    except _Refused as refused:
        return Told(False, str(refused), final=refused.final)
    except smtplib.SMTPResponseException as error:
        return Told(False, f"{error.smtp_code} {_text(error.smtp_error)}")
    except TimeoutError:
        return Told(False, _LATE, perhaps=handed)
    except ssl.SSLError as error:
        return Told(False, f"TLS: {error.reason or error}")
    except (smtplib.SMTPException, OSError) as error:
        # The library tells a time that ran out as a connection that was closed.
        late = "timed out" in str(error)
        return Told(False, _LATE if late else str(error) or type(error).__name__, perhaps=handed)


def _connected(parcel: Mapping[str, Any]) -> smtplib.SMTP:
    host, port = parcel["host"], parcel["port"]
    if parcel["tls"] == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=EACH, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=EACH)


def _greet(server: smtplib.SMTP, parcel: Mapping[str, Any]) -> None:
    server.ehlo_or_helo_if_needed()
    if parcel["tls"] == "starttls":
        server.starttls(context=ssl.create_default_context())
        server.ehlo()
    if parcel["user"]:
        server.login(parcel["user"], parcel["password"])


def _sent(server: smtplib.SMTP, mail: bytes) -> Told:
    lines = mail.replace(b"\r\n", b"\n").split(b"\n")
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    server.send(stuffed.rstrip(b"\r\n") + b"\r\n.\r\n")
    code, words = server.getreply()
    _accepted(code, words)
    return Told(True, f"{code} {_text(words)}")


class _Refused(Exception):
    """The server has said no. `final`: it will say so again."""

    def __init__(self, words: str, *, final: bool) -> None:
        super().__init__(words)
        self.final = final


def _accepted(code: int, words: bytes, *, wanted: int = 250, final: bool = False) -> None:
    if code != wanted and not (wanted == 250 and code in (250, 251, 252)):
        raise _Refused(f"{code} {_text(words)}", final=final and 500 <= code < 600)


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
