"""What one value of a pipeline file may be: times with a unit, names, people, addresses, texts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from deploynaut.engine.pipeline.web_addresses import web_address

LONGEST = timedelta(days=30)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
ROLES = ("deployment-managers", "instance-managers")
"""The words for roles that `ask` knows: the ones that may approve."""

PLACEHOLDERS = (
    *(
        "requester",
        "requester-email",
        "project",
        "environment",
        "commitsha",
        "pipelinelink",
        "approvelink",
        "abortlink",
    ),
    *("deployment", "revision", "attendant", "approver", "outcome", "reason", "withdrawn-by", "site"),
)
"""What a text of the file may hold in angle brackets: those of the original's templates, and ours."""

_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def duration(value: object) -> timedelta:
    """`90s`, `10m`, `2h` or `7d` as a time span of at most 30 days. Raises ValueError for anything else."""
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", str(value))
    if not found or int(found[1]) == 0:
        raise ValueError(f"{str(value)[:40]!r} is not a time; write a number with a unit, such as 90s, 10m, 2h or 7d")
    span = timedelta(**{UNITS[found[2]]: int(found[1])})
    if span > LONGEST:
        raise ValueError(f"{value} is too long; 30d is the most")
    return span


def written(span: timedelta) -> str:
    """A time span as the file writes it: `90s`, `10m`, `2h`, `7d`; the largest unit that is exact."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def is_email(text: str) -> bool:
    """Whether it can be an e-mail address."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def addressee(value: object) -> str:
    """An e-mail address, or a phone number in its international form, spaces left out. Raises ValueError."""
    text = str(value)
    if "@" in text:
        if not is_email(text):
            raise ValueError(f"{text[:80]!r} is not an e-mail address")
        return text
    bare = re.sub(r"[ ().-]", "", text)
    if not isinstance(value, str) or not _PHONE.fullmatch(bare):
        words = "is neither an e-mail address nor a phone number in its international form"
        raise ValueError(f'{text[:80]!r} {words}; write such as "+64 21 555 000", in quotes')
    return bare


def asked(value: object) -> str:
    """Somebody to ask for approval: a role, or the address of a user. Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise ValueError("names nobody")
    if text not in ROLES and not is_email(text):
        raise ValueError(f"{text[:80]!r} is not known here; write {', '.join(ROLES)} or the address of a user")
    return text


def _test_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", value):
        raise ValueError("a name has small letters, digits, - and _, at most 63, and begins with a letter or digit")
    return value


def is_environment_name(text: str) -> bool:
    """Whether an environment can be called so."""
    return re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text) is not None


def _environment_name(value: str) -> str:
    if value and not is_environment_name(value):
        raise ValueError(f"{value[:80]!r} is not the name of an environment")
    return value


def _one_line(value: str) -> str:
    if "\n" in value.strip():
        raise ValueError("should be one line")
    return value.strip()


def _known_placeholders(value: str) -> str:
    for name in re.findall(r"<([a-z][a-z-]{1,30})>", value):
        if name not in PLACEHOLDERS:
            raise ValueError(f"there is no placeholder <{name}>; known are {', '.join(f'<{p}>' for p in PLACEHOLDERS)}")
    return value


def _schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


Duration = Annotated[timedelta, BeforeValidator(duration), _schema(pattern="^[0-9]{1,7}[smhd]$")]
WebAddress = Annotated[str, BeforeValidator(web_address), _schema(pattern="^https?://[^\\s]+$")]
Addressee = Annotated[str, BeforeValidator(addressee), _schema(minLength=3)]
Asked = Annotated[str, BeforeValidator(asked), _schema(minLength=1, examples=[*ROLES, "mia@acme.example"])]
TestName = Annotated[str, AfterValidator(_test_name), _schema(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
EnvironmentName = Annotated[str, AfterValidator(_environment_name), _schema(pattern="^([a-z0-9][a-z0-9-]{0,62})?$")]
Words = Annotated[str, AfterValidator(_known_placeholders)]
OneLine = Annotated[str, AfterValidator(_one_line), AfterValidator(_known_placeholders)]
