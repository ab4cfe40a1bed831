"""Changes of what guards production: two people, at every door; and nothing by one alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.db import connection

from deploynaut.accounts import password_links
from deploynaut.accounts.grants import AlreadyGiven, BadGrant, NotGiven
from deploynaut.accounts.models import AuditEntry, Grant, User
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.engine.vault import fingerprint
from deploynaut.instances import proposals
from deploynaut.instances.models import Environment, Proposal, Target
from deploynaut.instances.proposals import AlreadyAnswered, NotByYou
from deploynaut.runs.models import Run
from tests.builders import HOST_KEY, NOW, make_environment, make_instance, make_target, make_user

LATER = NOW + timedelta(hours=1)
OTHER_URL = "https://new.acme.example/"
PIPELINE = "description: changed"


@pytest.fixture
def prod(db: None) -> Environment:
    """Production of acme, with two hosts, which has been released to."""
    environment = make_environment(make_instance(), "prod", kind="production", targets=2)
    environment.mark_released(NOW)
    return environment


@pytest.fixture
def people(prod: Environment) -> dict[str, User]:
    """Two of those who matter, one of the others."""
    roles = {
        "Ida": Role.INSTANCE_MANAGER, "Ivo": Role.INSTANCE_MANAGER, "Mia": Role.DEPLOYMENT_MANAGER,
        "Rob": Role.TECHNICAL_STAFF, "Olga": Role.OPS, "Vera": Role.VIEWER,
    }  # fmt: skip
    found = {name: make_user(name, role, instance=prod.instance) for name, role in roles.items()}
    return {**found, "Ada": make_user("Ada", Role.ADMINISTRATOR), "Sam": make_user("Sam")}


def fresh(environment: Environment) -> Environment:
    return Environment.objects.get(pk=environment.pk)


def propose_url(prod: Environment, by: User, url: str = OTHER_URL, **more: Any) -> Proposal:
    found = Environment.objects.change(prod, by=by, now=NOW, url=url, **more)
    assert found is not None
    return found


CHANGES: dict[str, dict[str, Any]] = {
    "settings": {"url": OTHER_URL},
    "pipeline": {"pipeline": PIPELINE},
    "recipe options": {"recipe_options": {"shared": ["uploads"]}},
    "hosts": {"hosts": ["other.acme.example"]},
}


# --- what becomes a proposal ---


@pytest.mark.parametrize("fields", CHANGES.values(), ids=CHANGES)
def test_what_guards_production_is_changed_when_somebody_else_has_confirmed(
    prod: Environment, people: dict[str, User], fields: dict[str, Any]
) -> None:
    old = {name: getattr(prod, name) for name in fields}
    proposal = Environment.objects.change(prod, by=people["Ida"], now=NOW, reason="A new tariff", **fields)
    assert proposal is not None and proposal.is_open
    assert (
        {name: getattr(fresh(prod), name) for name in fields} == old == {name: getattr(prod, name) for name in fields}
    )
    done = proposals.confirm(proposal, by=people["Mia"], now=LATER)
    assert (done.status, done.answered_by, done.answered_at) == ("confirmed", people["Mia"], LATER)
    assert {name: getattr(fresh(prod), name) for name in fields} == fields
    changed = AuditEntry.objects.get(action="environment changed")
    assert changed.actor == people["Ida"]
    assert AuditEntry.objects.get(action="proposal confirmed").actor == people["Mia"]
    assert AuditEntry.objects.get(action="change proposed").before.keys() == fields.keys()


def test_a_confirmed_pipeline_is_a_version_of_its_history(prod: Environment, people: dict[str, User]) -> None:
    proposal = Environment.objects.change(prod, by=people["Ida"], now=NOW, reason="Wait longer", pipeline=PIPELINE)
    assert proposal is not None and prod.pipeline_versions.count() == 1
    proposals.confirm(proposal, by=people["Ivo"], now=LATER)
    newest = prod.pipeline_versions.all()[0]
    assert (newest.text, newest.by, newest.at, newest.reason) == (PIPELINE, people["Ida"], LATER, "Wait longer")
    assert newest.proposal == proposal


def test_before_the_first_release_everything_applies_at_once(people: dict[str, User], prod: Environment) -> None:
    new = make_environment(prod.instance, "prod2", kind="production", targets=0)
    assert Environment.objects.change(new, by=people["Ida"], now=NOW, **CHANGES["settings"]) is None
    assert fresh(new).url == OTHER_URL
    details = {"address": "w.acme.example", "user": "deploy", "base": "/sites/x"}
    assert isinstance(Target.objects.add(environment=new, by=people["Ida"], now=NOW, **details), Target)


def test_test_and_uat_are_never_guarded(people: dict[str, User], prod: Environment) -> None:
    uat = make_environment(prod.instance)
    uat.mark_released(NOW)
    assert Environment.objects.change(uat, by=people["Ida"], now=NOW, **CHANGES["pipeline"]) is None


def test_nothing_to_change_proposes_nothing(prod: Environment, people: dict[str, User]) -> None:
    assert Environment.objects.change(prod, by=people["Ida"], now=NOW, url=prod.url, pipeline=prod.pipeline) is None
    assert not Proposal.objects.exists()


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("pipeline", {"pipeline": "steps: nonsense"}), ("recipe", {"recipe": "nonsense"}),
        ("url", {"url": "not an address"}), ("hosts", {"hosts": ["a b"]}), ("hosts", {"hosts": ["0.0.0.0/0"]}),
        ("hosts", {"hosts": ["169.254.169.254"]}), ("hosts", {"hosts": "x"}), ("hosts", {"hosts": ["x.example"] * 51}),
        ("reason", {"url": OTHER_URL, "reason": "  "}),
        ("pipeline", {"pipeline": 'smoke_tests: {home: {url: "https://elsewhere.example/"}}'}),
        ("pipeline", {"pipeline": "steps: [approval: {ask: [[vera@acme.example], [mia@acme.example]]}]"}),
        ("pipeline", {"pipeline": "steps: [approval: {ask: [[mia@acme.example]]}]"}),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_when_it_is_proposed(
    prod: Environment, people: dict[str, User], field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        Environment.objects.change(prod, by=people["Ida"], now=NOW, **fields)
    assert list(refused.value.message_dict) == [field]
    assert not Proposal.objects.exists()


def test_a_smoke_test_may_ask_a_listed_host(prod: Environment, people: dict[str, User]) -> None:
    pipeline = 'smoke_tests: {home: {url: "https://elsewhere.example/"}}'
    fields: dict[str, Any] = {"hosts": ["Elsewhere.example."], "pipeline": pipeline}
    proposal = Environment.objects.change(prod, by=people["Ida"], now=NOW, **fields)
    assert proposal is not None and proposal.after["hosts"] == ["elsewhere.example"]
    proposals.confirm(proposal, by=people["Mia"], now=NOW)
    assert fresh(prod).allowed_hosts == {"elsewhere.example", "prod.acme.example"}


# --- who ---


@pytest.mark.parametrize("name", ["Mia", "Rob", "Olga", "Vera", "Sam"])
def test_only_who_edits_the_environment_proposes(prod: Environment, people: dict[str, User], name: str) -> None:
    with pytest.raises(NotAllowed):
        propose_url(prod, people[name])
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("name", ["Rob", "Olga", "Vera", "Sam"])
def test_who_has_no_right_to_confirm_does_not(prod: Environment, people: dict[str, User], name: str) -> None:
    proposal = propose_url(prod, people["Ida"])
    for act in (proposals.confirm, proposals.refuse):
        with pytest.raises(NotAllowed):
            act(proposal, by=people[name], reason="I want to", now=LATER)
    assert Proposal.objects.get().is_open


@pytest.mark.parametrize("name", ["Ivo", "Mia", "Ada"])
def test_another_manager_or_an_administrator_confirms(prod: Environment, people: dict[str, User], name: str) -> None:
    proposals.confirm(propose_url(prod, people["Ida"]), by=people[name], now=LATER)
    assert fresh(prod).url == OTHER_URL


@pytest.mark.parametrize("name", ["Ida", "Ada"])
def test_nobody_confirms_their_own_by_no_role(prod: Environment, people: dict[str, User], name: str) -> None:
    Grant.objects.give(by=None, to=people["Ida"], role=Role.ADMINISTRATOR, now=NOW)
    proposal = propose_url(prod, people[name])
    for act in (proposals.confirm, proposals.refuse):
        with pytest.raises(NotByYou):
            act(proposal, by=people[name], reason="I want to", now=LATER)
    assert fresh(prod).url != OTHER_URL and Proposal.objects.get().is_open
    denied = AuditEntry.objects.filter(result="denied", actor=people[name])
    assert {entry.action for entry in denied} == {"confirmation of a proposal", "refusal of a proposal"}


def test_a_second_account_of_the_same_person_does_not_count(prod: Environment, people: dict[str, User]) -> None:
    proposal = propose_url(prod, people["Ida"])
    EmailAddress.objects.create(user=people["Ivo"], email="Ida+second@acme.example", verified=True)
    with pytest.raises(NotByYou, match="e-mail address of yours"):
        proposals.confirm(proposal, by=people["Ivo"], now=LATER)
    assert AuditEntry.objects.filter(result="denied", actor=people["Ivo"]).count() == 1
    EmailAddress.objects.update(verified=False)
    proposals.confirm(proposal, by=people["Ivo"], now=LATER)


def test_a_second_person_made_by_the_first_has_to_wait_a_day(prod: Environment, people: dict[str, User]) -> None:
    Grant.objects.give(by=people["Ada"], to=people["Sam"], role=Role.ADMINISTRATOR, now=NOW)
    proposal = propose_url(prod, people["Ada"])
    with pytest.raises(NotByYou, match="24 hours"):
        proposals.confirm(proposal, by=people["Sam"], now=LATER)
    proposals.confirm(proposal, by=people["Sam"], now=NOW + timedelta(days=1))


def test_an_account_to_which_the_first_has_held_a_key_does_not_count(
    prod: Environment, people: dict[str, User]
) -> None:
    proposal = propose_url(prod, people["Ada"])
    password_links.make(people["Mia"], by=people["Ada"], now=NOW)
    with pytest.raises(NotByYou, match="password link"):
        proposals.confirm(proposal, by=people["Mia"], now=LATER)
    proposals.confirm(proposal, by=people["Ivo"], now=LATER)


def test_rights_are_those_of_the_moment_for_both(prod: Environment, people: dict[str, User]) -> None:
    first = propose_url(prod, people["Ida"])
    Grant.objects.take(by=None, to=people["Mia"], role=Role.DEPLOYMENT_MANAGER, instance=prod.instance_id, now=NOW)
    with pytest.raises(NotAllowed):
        proposals.confirm(first, by=people["Mia"], now=LATER)
    people["Ida"].disable(by=None, now=NOW)
    assert proposals.confirm(first, by=people["Ivo"], now=LATER).status == "overtaken"
    assert "may not edit" in Proposal.objects.get().answer
    assert fresh(prod).url != OTHER_URL


# --- answers ---


def test_a_proposal_is_refused_with_a_reason_or_withdrawn_by_its_author(
    prod: Environment, people: dict[str, User]
) -> None:
    proposal = propose_url(prod, people["Ida"])
    with pytest.raises(ValidationError):
        proposals.refuse(proposal, by=people["Mia"], reason=" \t", now=LATER)
    with pytest.raises(NotByYou):
        proposals.withdraw(proposal, by=people["Mia"], now=LATER)
    proposals.refuse(proposal, by=people["Mia"], reason="Not on a Friday", now=LATER)
    with pytest.raises(AlreadyAnswered, match=r"Mia has refused it \(1 July 2026, 13:00 UTC\)"):
        proposals.withdraw(proposal, by=people["Ida"], now=LATER)
    second = propose_url(prod, people["Ida"])
    assert proposals.withdraw(second, by=people["Ida"], now=LATER).status == "withdrawn"
    with pytest.raises(AlreadyAnswered):
        proposals.confirm(second, by=people["Mia"], now=LATER)
    assert fresh(prod).url != OTHER_URL


def test_values_that_have_changed_meanwhile_overtake_it(prod: Environment, people: dict[str, User]) -> None:
    proposal = propose_url(prod, people["Ida"])
    Environment.objects.change(fresh(prod), by=None, now=NOW, url="https://third.acme.example/")
    done = proposals.confirm(proposal, by=people["Mia"], now=LATER)
    assert done.status == "overtaken" and "changed meanwhile" in done.answer
    assert fresh(prod).url == "https://third.acme.example/"


def test_what_is_not_valid_any_more_waits_on_and_says_why(prod: Environment, people: dict[str, User]) -> None:
    pipeline = "steps: [approval: {ask: [[mia@acme.example], [ivo@acme.example]]}]"
    proposal = Environment.objects.change(prod, by=people["Ida"], now=NOW, pipeline=pipeline)
    assert proposal is not None
    people["Mia"].disable(by=None, now=NOW)
    with pytest.raises(ValidationError, match="may not approve"):
        proposals.confirm(proposal, by=people["Ivo"], now=LATER)
    assert Proposal.objects.get().is_open and fresh(prod).pipeline == ""


def test_an_author_replaces_their_own_and_somebody_elses_stands(prod: Environment, people: dict[str, User]) -> None:
    first = propose_url(prod, people["Ida"])
    second = propose_url(prod, people["Ida"], "https://third.acme.example/")
    first.refresh_from_db()
    assert first.status == "withdrawn" and second.is_open
    with pytest.raises(ValidationError, match=f"Ida has proposed .*proposal {second.pk}"):
        propose_url(prod, people["Ivo"])
    assert Environment.objects.change(prod, by=people["Ivo"], now=NOW, pipeline=PIPELINE) is not None


def test_what_waits_for_a_person_is_what_they_may_answer(prod: Environment, people: dict[str, User]) -> None:
    proposal = propose_url(prod, people["Ida"])
    other = make_environment(make_instance("other"), "prod", kind="production")
    make_user("Mona", Role.DEPLOYMENT_MANAGER, at=other)
    seen = {name: list(proposals.waiting(person)) for name, person in people.items()}
    assert {name for name, found in seen.items() if found} == {"Ivo", "Mia", "Ada"}
    assert seen["Mia"] == [proposal]
    assert not proposals.waiting(make_user("Mona"))


# --- targets ---

DETAILS = {"address": "web7.acme.example", "user": "deploy", "base": "/sites/acme"}


def test_a_new_host_its_key_and_its_removal_take_two_people_each(prod: Environment, people: dict[str, User]) -> None:
    added = Target.objects.add(environment=prod, by=people["Ida"], now=NOW, **DETAILS)
    assert isinstance(added, Proposal) and prod.targets.count() == 2
    assert not Run.objects.filter(kind="target_scan").exists()
    proposals.confirm(added, by=people["Mia"], now=LATER)
    target = Target.objects.get(address="web7.acme.example")
    Run.objects.filter(kind="target_scan").update(status="succeeded", ended_at=NOW)
    Target.objects.filter(pk=target.pk).update(host_key_seen=HOST_KEY)
    target.refresh_from_db()
    key = Target.objects.confirm(target, fingerprint=fingerprint(HOST_KEY), by=people["Ivo"], now=NOW)
    target.refresh_from_db()
    assert key is not None and not target.host_key
    proposals.confirm(key, by=people["Ida"], now=LATER)
    target.refresh_from_db()
    assert target.host_key == HOST_KEY
    Run.objects.filter(kind="target_set_up").update(status="succeeded", ended_at=NOW)
    removal = Target.objects.remove(target, by=people["Ida"], now=NOW, reason="It is old")
    target.refresh_from_db()
    assert removal is not None and target.removed_at is None
    proposals.confirm(removal, by=people["Mia"], now=LATER)
    target.refresh_from_db()
    assert target.removed_at == LATER and target not in prod.current_targets()


def test_two_new_hosts_are_two_proposals(prod: Environment, people: dict[str, User]) -> None:
    for address in ("web7.acme.example", "web8.acme.example"):
        Target.objects.add(environment=prod, by=people["Ida"], now=NOW, **{**DETAILS, "address": address})
    assert Proposal.objects.open().count() == 2


def test_a_key_that_the_host_shows_no_more_overtakes_its_confirmation(
    prod: Environment, people: dict[str, User]
) -> None:
    target = make_target(prod, "web9.acme.example", seen=True)
    proposal = Target.objects.confirm(target, fingerprint=fingerprint(HOST_KEY), by=people["Ida"], now=NOW)
    assert proposal is not None
    Target.objects.filter(pk=target.pk).update(host_key_seen="")
    assert proposals.confirm(proposal, by=people["Mia"], now=LATER).status == "overtaken"
    target.refresh_from_db()
    assert not target.host_key


@pytest.mark.parametrize("released", [True, False])
def test_the_last_host_that_serves_pages_stays_once_it_has_been_released_to(
    people: dict[str, User], prod: Environment, released: bool
) -> None:
    Environment.objects.filter(pk=prod.pk).update(released_at=NOW if released else None)
    first, second = prod.targets.select_related("environment")
    Target.objects.filter(pk=first.pk).update(removed_at=NOW)
    second.environment.refresh_from_db()
    if released:
        with pytest.raises(ValidationError, match="only host"):
            Target.objects.remove(second, by=people["Ida"], now=NOW)
    else:
        assert Target.objects.remove(second, by=people["Ida"], now=NOW) is None


def test_two_removals_that_are_confirmed_leave_one_host(prod: Environment, people: dict[str, User]) -> None:
    both = [Target.objects.remove(one, by=people["Ida"], now=NOW) for one in prod.targets.select_related("environment")]
    assert both[0] is not None and both[1] is not None
    proposals.confirm(both[0], by=people["Mia"], now=LATER)
    with pytest.raises(ValidationError, match="only host"):
        proposals.confirm(both[1], by=people["Mia"], now=LATER)
    assert prod.ready_targets().count() == 1


def test_a_host_is_not_removed_while_a_deployment_is_open(people: dict[str, User], prod: Environment) -> None:
    target = prod.targets.select_related("environment")[0]
    Run.objects.begin(kind="deployment", subject_id=1, title="acme/prod #1", lock_key=prod.lock, steps=["x"], now=NOW)
    with pytest.raises(ValidationError, match="#1 is open"):
        Target.objects.remove(target, by=people["Ida"], now=NOW)


def test_a_removed_host_is_found_no_more_and_its_place_is_free_again(
    people: dict[str, User], prod: Environment
) -> None:
    uat = make_environment(prod.instance, "uat", targets=2)
    target = uat.targets.select_related("environment")[0]
    assert Target.objects.remove(target, by=people["Ida"], now=NOW) is None
    assert target not in uat.ready_targets() and uat.targets.count() == 2
    with pytest.raises(ValidationError, match="already"):
        Target.objects.remove(target, by=people["Ida"], now=NOW)
    again = {"address": target.address, "user": "deploy", "base": target.base}
    assert isinstance(Target.objects.add(environment=uat, by=people["Ida"], now=NOW, **again), Target)


# --- roles ---


def change_role(prod: Environment, by: User, to: User, role: Role, *, give: bool, **more: Any) -> Proposal | None:
    fields = {"instance": prod.instance, "by": by, "to": to, "role": role, "give": give, "now": NOW}
    return proposals.change_role(**{**fields, **more})


def has(to: User, role: Role) -> bool:
    return Grant.objects.filter(user=to, role=role).exists()


@pytest.mark.parametrize("role", [Role.DEPLOYMENT_MANAGER, Role.INSTANCE_MANAGER])
@pytest.mark.parametrize("narrowed", [True, False])
def test_a_role_that_may_approve_is_given_and_taken_by_two(
    prod: Environment, people: dict[str, User], role: Role, narrowed: bool
) -> None:
    sam = people["Sam"]
    where = {"environment": prod} if narrowed else {}
    given = change_role(prod, people["Ida"], sam, role, give=True, **where)
    assert given is not None and not has(sam, role)
    proposals.confirm(given, by=people["Mia"], now=LATER)
    assert has(sam, role)
    taken = change_role(prod, people["Ivo"], sam, role, give=False, **where)
    assert taken is not None and has(sam, role)
    proposals.confirm(taken, by=people["Ida"], now=LATER)
    assert not has(sam, role)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TECHNICAL_STAFF, Role.OPS])
def test_other_roles_are_given_and_taken_at_once(prod: Environment, people: dict[str, User], role: Role) -> None:
    assert change_role(prod, people["Ida"], people["Sam"], role, give=True) is None and has(people["Sam"], role)
    assert change_role(prod, people["Ida"], people["Sam"], role, give=False) is None and not has(people["Sam"], role)


def test_where_production_has_not_been_released_to_roles_change_at_once(
    prod: Environment, people: dict[str, User]
) -> None:
    uat = make_environment(prod.instance)
    role = Role.DEPLOYMENT_MANAGER
    assert change_role(prod, people["Ida"], people["Sam"], role, give=True, environment=uat) is None
    Environment.objects.update(released_at=None)
    assert change_role(prod, people["Ida"], people["Vera"], role, give=True) is None


def test_nobody_makes_an_approver_of_themselves(prod: Environment, people: dict[str, User]) -> None:
    with pytest.raises(ValidationError):
        change_role(prod, people["Ada"], people["Ada"], Role.DEPLOYMENT_MANAGER, give=True)
    assert not Proposal.objects.exists()


def test_the_last_instance_manager_and_the_only_other_approver_stay(prod: Environment, people: dict[str, User]) -> None:
    for name in ("Ivo", "Ida"):
        found = change_role(prod, people["Ada"], people[name], Role.INSTANCE_MANAGER, give=False)
        assert found is not None
    proposals.confirm(Proposal.objects.get(about__startswith=f"{people['Ivo'].pk}:"), by=people["Mia"], now=LATER)
    with pytest.raises(ValidationError, match="only Instance Manager"):
        proposals.confirm(Proposal.objects.get(about__startswith=f"{people['Ida'].pk}:"), by=people["Mia"], now=LATER)
    with pytest.raises(ValidationError) as refused:
        change_role(prod, people["Ada"], people["Mia"], Role.DEPLOYMENT_MANAGER, give=False)
    assert list(refused.value.message_dict) == ["role"]
    assert has(people["Ida"], Role.INSTANCE_MANAGER) and has(people["Mia"], Role.DEPLOYMENT_MANAGER)


def test_roles_that_cannot_be_are_refused(prod: Environment, people: dict[str, User]) -> None:
    elsewhere = make_environment(make_instance("other"), "prod", kind="production")
    manager = Role.DEPLOYMENT_MANAGER
    with pytest.raises(AlreadyGiven):
        change_role(prod, people["Ida"], people["Mia"], manager, give=True)
    with pytest.raises(NotGiven):
        change_role(prod, people["Ida"], people["Rob"], manager, give=False)
    with pytest.raises(BadGrant):
        change_role(prod, people["Ada"], people["Rob"], Role.ADMINISTRATOR, give=True)
    with pytest.raises((BadGrant, NotAllowed)):
        change_role(prod, people["Ida"], people["Rob"], manager, give=True, environment=elsewhere)
    people["Rob"].disable(by=None, now=NOW)
    with pytest.raises(BadGrant):
        change_role(prod, people["Ida"], people["Rob"], manager, give=True)
    for name in ("Mia", "Rob", "Olga", "Vera", "Sam"):
        with pytest.raises(NotAllowed):
            change_role(prod, people[name], people["Sam"], Role.VIEWER, give=True)
    assert not Proposal.objects.exists()


def test_a_role_that_somebody_has_given_meanwhile_overtakes_the_proposal(
    prod: Environment, people: dict[str, User]
) -> None:
    found = change_role(prod, people["Ida"], people["Sam"], Role.DEPLOYMENT_MANAGER, give=True)
    assert found is not None
    where = {"instance": prod.instance_id, "now": NOW}
    Grant.objects.give(by=None, to=people["Sam"], role=Role.DEPLOYMENT_MANAGER, **where)  # type: ignore[arg-type]
    assert proposals.confirm(found, by=people["Mia"], now=LATER).status == "overtaken"


# --- races ---


def race(*acts: Callable[[], object]) -> list[object]:
    """What each act gave or raised, all of them let go at one moment."""
    gate, results = threading.Barrier(len(acts)), [None] * len(acts)

    def go(number: int, act: Callable[[], object]) -> None:
        try:
            gate.wait(10)
            results[number] = act()  # type: ignore[call-overload]
        except Exception as error:
            results[number] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=one) for one in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return list(results)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(10))
def test_of_many_answers_at_one_moment_one_wins(attempt: int, prod: Environment, people: dict[str, User]) -> None:
    proposal = propose_url(prod, people["Ida"])

    def answer(act: Callable[..., Proposal], name: str) -> Callable[[], object]:
        return lambda: act(Proposal.objects.get(pk=proposal.pk), by=people[name], reason="Because of it", now=LATER)

    results = race(
        *(answer(proposals.confirm, name) for name in ("Ivo", "Mia", "Ada")),
        answer(proposals.refuse, "Mia"),
        answer(proposals.withdraw, "Ida"),
    )
    won = [one for one in results if isinstance(one, Proposal)]
    assert len(won) == 1, results
    assert all(isinstance(one, AlreadyAnswered) for one in results if one is not won[0]), results
    proposal.refresh_from_db()
    assert proposal.status == won[0].status
    assert (fresh(prod).url == OTHER_URL) == (proposal.status == "confirmed")
    assert AuditEntry.objects.filter(action="environment changed").count() == int(proposal.status == "confirmed")


@pytest.mark.django_db(transaction=True)
def test_of_two_takings_at_one_moment_an_instance_manager_is_left(prod: Environment, people: dict[str, User]) -> None:
    found = [change_role(prod, people["Ada"], people[n], Role.INSTANCE_MANAGER, give=False) for n in ("Ida", "Ivo")]
    race(*(lambda one=one: proposals.confirm(one, by=people["Mia"], now=LATER) for one in found))
    assert Grant.objects.filter(role=Role.INSTANCE_MANAGER).count() == 1
