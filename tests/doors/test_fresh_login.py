"""S32: which forms ask for a fresh log-in when the last proof is over 15 minutes old. Each of them, and no other."""

from __future__ import annotations

from django.core.cache import cache
from django.db import transaction
from django.test import Client

from tests.doors.matrix import TYPED, Furnished
from tests.doors.world import World, address, routes

GRAVE = {
    # accounts and roles
    "user-create", "user-disable", "user-enable", "user-end-sessions", "user-link",
    "administrator-give", "administrator-take", "member-give", "member-take",
    # the system, what guards production, production itself
    "system-settings", "proposal-confirm", "approval", "start",
    # one's own second factors
    "mfa_activate_totp", "mfa_generate_recovery_codes", "mfa_add_webauthn", "mfa_edit_webauthn", "mfa_remove_webauthn",
}  # fmt: skip
"""The names of the addresses that take such forms."""


def stale(client: Client) -> Client:
    """The same browser, whose last proof is older than it may be."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 16 * 60
    session.save()
    return client


def test_these_forms_and_no_others_ask_for_a_fresh_log_in(world: World) -> None:
    stands = Furnished(world)
    browsers = [stale(world.browser(name)) for name in ("Rob", "Mia", "Ida", "Olga", "Ada")]
    asked = {
        str(pattern.name)
        for route, pattern in routes()
        if pattern.name not in LEFT_OUT and any(_asks(one, address(route, pattern, stands)) for one in browsers)
    }
    assert asked == GRAVE


LEFT_OUT = {"account_logout", "account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"}
"""The way out, and the pages of the proof itself."""


def _asks(browser: Client, where: str) -> bool:
    cache.clear()
    with transaction.atomic():
        answer = browser.post(where, TYPED, content_type="application/x-www-form-urlencoded")
        transaction.set_rollback(True)
    return answer.headers.get("Location", "").startswith("/account/confirm/")


def test_after_the_proof_the_act_goes_on(world: World) -> None:
    browser = stale(world.browser("Ida"))
    fields = {"person": "sam@acme.example", "role": "viewer", "place": ""}
    asked = browser.post("/instances/acme/-/members/give/", fields)
    assert asked["Location"].startswith("/account/confirm/")
    proof = {"password": "four calm otters swim", "next": "/instances/acme/-/members/give/"}
    assert browser.post("/account/confirm/", proof)["Location"] == "/instances/acme/-/members/"
    assert "Sam is Viewer of acme now" in browser.get("/instances/acme/-/members/").content.decode()


def test_a_wrong_proof_changes_nothing(world: World) -> None:
    browser = stale(world.browser("Ada"))
    browser.post("/users/new/", {"name": "Nia", "email": "nia@acme.example"})
    answer = browser.post("/account/confirm/", {"password": "wrong", "next": "/users/new/"})
    assert "not your password" in answer.content.decode()
    assert "Nia" not in browser.get("/users/?show=all").content.decode()
