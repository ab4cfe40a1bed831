"""Two accounts of one person count as one: nobody approves their own release with a second account."""

from __future__ import annotations

from collections.abc import Iterable

from allauth.account.models import EmailAddress

from deploynaut.accounts.people import User


def same_person(a: User, b: User) -> bool:
    """Whether these are one person: the same account, or one verified e-mail address in common. Two queries."""
    if a.pk == b.pk:
        return True
    return not addresses(a).isdisjoint(addresses(b))


def others(people: Iterable[User], *, than: User) -> list[User]:
    """Those of the people who are somebody else than that one. Two queries, however many they are."""
    found, own = list(people), addresses(than)
    verified = EmailAddress.objects.filter(user__in=found, verified=True).values_list("user_id", "email")
    known = {(pk, mailbox(address)) for pk, address in verified}
    known |= {(one.pk, mailbox(one.email)) for one in found}
    same = {pk for pk, address in known if address in own} | {than.pk}
    return [one for one in found if one.pk not in same]


def persons(users: Iterable[User]) -> list[User]:
    """One account of each person among these, the oldest. A query for each account."""
    found: list[tuple[User, frozenset[str]]] = []
    for user in sorted(set(users), key=lambda one: one.pk):
        known = addresses(user)
        if all(known.isdisjoint(other) for _, other in found):
            found.append((user, known))
    return [user for user, _ in found]


def addresses(user: User) -> frozenset[str]:
    """The mailboxes known to be this person's: the one they log in with, and those verified besides."""
    # An Administrator answers for the address of the account itself; any other one counts once it has been verified.
    more = EmailAddress.objects.filter(user_id=user.pk, verified=True).values_list("email", flat=True)
    return frozenset(mailbox(address) for address in (user.email, *more))


def mailbox(address: str) -> str:
    """Where mail to an address ends up: `Mia+uat@Acme.example` is read by `mia@acme.example`."""
    local, at, domain = address.strip().lower().rpartition("@")
    # A tag alone is no mailbox: `+x@acme.example` stays as it is.
    return f"{local.partition('+')[0] or local}{at}{domain}"
