"""Ada (administers), Mia (approves), Rob (releases), Olga (operations), Sam (a stranger), with roles as asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from django.test import Client

from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
PASSWORD = "four calm otters swim"


def make_person(name: str, *roles: Role, instance: int | None = None, environment: int | None = None) -> User:
    """A person who can log in with PASSWORD, with these roles there (Administrator: everywhere)."""
    email = f"{name.lower()}@acme.example"
    user = User.objects.create_person(email=email, name=name, password=PASSWORD, now=NOW)
    for role in roles:
        if role is Role.ADMINISTRATOR:
            Grant.objects.give(by=None, to=user, role=role, now=NOW)
        else:
            Grant.objects.give(by=None, to=user, role=role, instance=instance, environment=environment, now=NOW)
    return user


def log_in(name: str, client: Client | None = None) -> Client:
    """A browser in which this person has logged in by the form."""
    client = client or Client()
    answer = client.post("/login/", {"login": f"{name.lower()}@acme.example", "password": PASSWORD})
    assert answer.status_code == 302, answer.content.decode()
    return client
