"""Addresses of gateways and chats, as Apprise writes them: which may be given, told at the field.

The web process looks at the form alone; whether the server takes a message is what "Send a test" finds out.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from deploynaut.accounts.people import PHONE
from deploynaut.engine.smoke_tests.addresses import refusal

TEXT = frozenset(
    {
        "twilio", "clicksend", "bulksms", "nexmo", "msgbird", "sinch", "plivo", "clickatell", "d7sms", "burstsms",
        "atalk", "seven", "smsmanager", "elks", "voipms", "sns", "mobilemessage", "infobip",
    }
)  # fmt: skip
CHAT = frozenset(
    {
        "slack", "discord", "workflows", "mmosts", "matrixs", "ntfys", "gotifys", "rockets", "zulip", "tgram", "gchat",
        "wxteams", "nctalks", "https",
    }
)  # fmt: skip
OWN = frozenset({"jsons", "forms", "xmls"})
"""Servers of one's own, reached by HTTPS."""
PLAIN = frozenset({"json", "form", "xml", "ntfy", "gotify", "mmost", "matrix", "rocket", "nctalk"})
"""Without TLS: where the setting DEPLOYNAUT_PRIVATE_GATEWAYS allows it."""
NOT_OURS_TO_CHANGE = frozenset({"verify", "redirect", "rto", "cto", "retry", "wait"})
LONGEST = 1000


def text_gateway(url: str) -> str:
    """The address as it is kept, with `{to}` in it. Raises ValidationError."""
    split = _checked(url, TEXT)
    if "{to}" in url:
        return url
    if split.scheme == "twilio":
        head, mark, query = url.partition("?")
        return f"{head.rstrip('/')}/{{to}}/{mark}{query}"
    raise ValidationError("Write {to} where the phone number goes, as in jsons://host/send?:to={to}.")


def chat(url: str) -> str:
    """The address as it is kept. Raises ValidationError."""
    _checked(url, CHAT)
    return url


def schema(url: str) -> str:
    """The kind of service, which is no secret."""
    return urlsplit(url).scheme.lower()


def phone(words: str) -> str:
    """A phone number in the international form, or empty. People write spaces, dashes and brackets into it."""
    number = re.sub(r"[ ().-]", "", words)
    return number if PHONE.regex.match(number) else ""  # type: ignore[union-attr]


def _checked(url: str, known: frozenset[str]) -> SplitResult:
    if len(url) > LONGEST or not url.isprintable() or any(c.isspace() for c in url):
        raise ValidationError("An address is one line without spaces.")
    try:
        split = urlsplit(url.replace("{to}", "0"))
        host = split.hostname or ""
    except ValueError:
        raise ValidationError("This is not an address such as twilio://… or slack://…") from None
    private = settings.DEPLOYNAUT_PRIVATE_GATEWAYS
    allowed = known | OWN | (PLAIN if private else frozenset())
    if split.scheme not in allowed:
        raise ValidationError(f"An address begins with one of these: {', '.join(f'{s}://' for s in sorted(allowed))}.")
    if not host:
        raise ValidationError("Something is missing after the two slashes.")
    if not private and _inside(host):
        raise ValidationError("This address lies inside: a gateway is asked at a public address alone.")
    # Their own options stand after a sign: `+Header`, `-query`, `:field`.
    taken = {name for name, _ in parse_qsl(split.query, keep_blank_values=True)} & NOT_OURS_TO_CHANGE
    if taken:
        raise ValidationError(f"{', '.join(sorted(taken))} cannot be set here: TLS is verified, times are limited.")
    return split


def _inside(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return bool(refusal(str(ipaddress.ip_address(host))))
    except ValueError:
        return False
