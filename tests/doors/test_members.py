"""The members of an instance: seen by who sees it, changed by who may, never to the instance's harm."""

from __future__ import annotations

import pytest

from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.rights import Rights
from deploynaut.accounts.roles import RIGHTS, Right, Role
from deploynaut.instances.models import Environment, Proposal
from deploynaut.web.people import rights_table
from deploynaut.web.waiting import for_me
from tests.builders import NOW, make_user
from tests.doors.world import World, make_foreign_world

HERE = "/instances/acme/-/members/"
GIVE, TAKE = f"{HERE}give/", f"{HERE}take/"


def user(name: str) -> User:
    return User.objects.get(email=f"{name.lower()}@acme.example")


def grant(name: str, role: Role) -> Grant:
    return Grant.objects.get(user=user(name), role=role)


def given(name: str) -> set[tuple[str, int | None]]:
    return set(user(name).grants.values_list("role", "environment_id"))


def released(world: World) -> None:
    """Production has been released to."""
    Environment.objects.filter(pk=world.prod.pk).update(released_at=NOW)


class TestReading:
    @pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Ida", "Olga", "Ada"])
    def test_who_sees_the_instance_sees_who_may_do_what(self, world: World, name: str) -> None:
        shown = world.browser(name).get(HERE).content.decode()
        assert all(word in shown for word in ("Mia", "Deployment Manager", "Administrators of the whole system: Ada"))
        edits = name in ("Ida", "Ada")
        assert (f'action="{GIVE}"' in shown, "mia@acme.example" in shown) == (edits, edits)
        assert edits or "this needs Instance Manager or Administrator" in shown

    def test_strangers_find_nothing(self, world: World) -> None:
        assert world.browser("Sam").get(HERE).status_code == 404
        assert world.browser("Sam").post(GIVE).status_code == 404
        assert world.browser("Sam").post(TAKE).status_code == 404

    def test_roles_on_environments_that_one_does_not_see_are_not_listed(self, world: World) -> None:
        make_user("Uta", Role.VIEWER, at=world.uat)
        make_user("Pia", Role.OPS, at=world.prod)
        shown = world.browser("Uta").get(HERE).content.decode()
        assert "Pia" not in shown
        assert "Mia" in shown
        assert "Pia" in world.browser("Vera").get(HERE).content.decode()


class TestGiving:
    def test_an_instance_manager_gives_a_role_here_or_on_one_environment(self, world: World) -> None:
        ida = world.browser("Ida")
        assert ida.post(GIVE, {"person": "SAM@acme.example", "role": "viewer", "place": ""}).status_code == 302
        assert ida.post(GIVE, {"person": "sam@acme.example", "role": "ops", "place": "uat"}).status_code == 302
        assert given("Sam") == {("viewer", None), ("ops", world.uat.pk)}
        entry = AuditEntry.objects.about("user", user("Sam").pk)[0]
        assert (entry.actor, entry.action) == (user("Ida"), "role given")
        assert "Sam is Ops of uat of acme now" in ida.get(HERE).content.decode()

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"role": "king"}, "role"),
            ({"role": "administrator"}, "role"),
            ({"role": ""}, "role"),
            ({"person": "nobody@acme.example"}, "person"),
            ({"person": ""}, "person"),
            ({"place": "nowhere"}, "place"),
            ({"place": "elsewhere"}, "place"),
            ({"person": "ida@acme.example", "role": "deployment-manager"}, "person"),
            ({"person": "vera@acme.example", "role": "viewer"}, "role"),
        ],
    )
    def test_what_cannot_be_is_refused_at_its_field(self, world: World, fields: dict[str, str], field: str) -> None:
        foreign = make_foreign_world()
        type(foreign.uat).objects.filter(pk=foreign.uat.pk).update(name="elsewhere")
        before = Grant.objects.count()
        answer = world.browser("Ida").post(GIVE, {"person": "sam@acme.example", "role": "ops", "place": "", **fields})
        assert answer.status_code in (400, 409)
        assert f'id="{field}-wrong"' in answer.content.decode()
        assert Grant.objects.count() == before

    def test_who_is_disabled_is_nobody_to_give_a_role_to(self, world: World) -> None:
        user("Sam").disable(by=None, now=world.open.begun_at)
        answer = world.browser("Ida").post(GIVE, {"person": "sam@acme.example", "role": "ops", "place": ""})
        assert answer.status_code == 400

    @pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Olga"])
    def test_nobody_else_gives_or_takes(self, world: World, name: str) -> None:
        browser, before = world.browser(name), list(Grant.objects.values_list("pk", flat=True))
        fields = {"person": "sam@acme.example", "role": "viewer", "place": ""}
        assert browser.post(GIVE, fields).status_code == 403
        for key in (str(grant("Ida", Role.INSTANCE_MANAGER).pk), "999999", "x", ""):
            assert browser.post(TAKE, {"grant": key}).status_code == 403
        assert list(Grant.objects.values_list("pk", flat=True)) == before

    def test_a_narrowed_manager_reaches_the_own_environment_alone(self, world: World) -> None:
        make_user("Uta", Role.INSTANCE_MANAGER, at=world.uat)
        uta, fields = world.browser("Uta"), {"person": "sam@acme.example", "role": "viewer"}
        assert uta.post(GIVE, {**fields, "place": ""}).status_code == 403
        assert uta.post(GIVE, {**fields, "place": "prod"}).status_code in (400, 403)
        assert uta.post(GIVE, {**fields, "place": "uat"}).status_code == 302
        assert given("Sam") == {("viewer", world.uat.pk)}
        make_user("Pia", Role.OPS, at=world.prod)
        assert uta.post(TAKE, {"grant": grant("Pia", Role.OPS).pk}).status_code == 404
        assert uta.post(TAKE, {"grant": grant("Mia", Role.DEPLOYMENT_MANAGER).pk}).status_code == 403


class TestTaking:
    def test_a_taken_role_is_gone_at_once(self, world: World) -> None:
        olga = world.browser("Olga")
        answer = world.browser("Ida").post(TAKE, {"grant": grant("Olga", Role.OPS).pk})
        assert answer.status_code == 302
        assert olga.get("/").status_code == 302
        assert not given("Olga")

    def test_the_last_instance_manager_stays(self, world: World) -> None:
        answer = world.browser("Ada").post(TAKE, {"grant": grant("Ida", Role.INSTANCE_MANAGER).pk})
        assert answer.status_code == 409
        assert "Ida is the only Instance Manager" in answer.content.decode()

    def test_the_only_other_approver_stays(self, world: World) -> None:
        released(world)
        answer = world.browser("Ida").post(TAKE, {"grant": grant("Mia", Role.DEPLOYMENT_MANAGER).pk})
        assert answer.status_code == 409
        assert "Then Ida alone could approve" in answer.content.decode()

    def test_an_approver_of_a_released_production_goes_when_somebody_else_confirms(self, world: World) -> None:
        released(world)
        make_user("Max", Role.DEPLOYMENT_MANAGER, instance=world.instance)
        ida, mia = world.browser("Ida"), grant("Mia", Role.DEPLOYMENT_MANAGER)
        assert ida.post(TAKE, {"grant": mia.pk}).status_code == 302
        assert "Proposed: Take Deployment Manager of acme from Mia" in ida.get(HERE).content.decode()
        assert Grant.objects.filter(pk=mia.pk).exists()
        proposal = Proposal.objects.get(environment=None)
        words = f"Confirm a proposal for acme: {proposal.title}"
        assert words in [one.what for one in for_me(user("Max"), Rights.of(user("Max")), NOW)]
        assert words not in [one.what for one in for_me(user("Ida"), Rights.of(user("Ida")), NOW)]

    def test_a_role_of_another_instance_is_not_here(self, world: World) -> None:
        make_foreign_world()
        bea = Grant.objects.get(user=user("Bea"))
        assert world.browser("Ida").post(TAKE, {"grant": bea.pk}).status_code == 404
        assert world.browser("Ada").post(TAKE, {"grant": bea.pk}).status_code == 404


def test_the_table_on_the_page_is_the_table_of_the_code() -> None:
    shown = {right for right in Right if right not in (Right.ABORT_OWN, Right.ROLL_BACK_OWN)}
    rows = rights_table.rows()
    assert len(rows) == len(shown) == len({row.deed for row in rows})
    for right, row in zip([right for right in Right if right in shown], rows, strict=True):
        for role, cell in row.cells:
            assert (cell == "yes" or (right is Right.PRESS_DEPLOY_OWN and cell == "own")) == (right in RIGHTS[role])
