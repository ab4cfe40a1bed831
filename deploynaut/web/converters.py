"""What an address may hold. Anything else is not found before a view is asked."""

from __future__ import annotations

from django.urls import register_converter


class Name:
    """The name of an instance or environment, as their models allow it."""

    regex = "[a-z0-9][a-z0-9-]{0,62}"

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


class Number:
    """A number that a database row can have."""

    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        """The number."""
        return int(value)

    def to_url(self, value: int) -> str:
        """Its digits."""
        return str(value)


# At import, which comes before any address that is made of them.
register_converter(Name, "name")
register_converter(Number, "number")
