"""Instances, environments and targets: what may be stored, and who says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from deploynaut.accounts.models import AuditEntry
from deploynaut.accounts.rights import NotAllowed
from deploynaut.accounts.roles import Role
from deploynaut.durable.inline import inline_engine
from deploynaut.engine.repository import Branch, Commit, Tag
from deploynaut.engine.vault import Opener, fingerprint, make_ssh_key
from deploynaut.instances import index, secrets
from deploynaut.instances.fetching import AlreadyFetching, begin_fetch
from deploynaut.instances.managers import ssh_place
from deploynaut.instances.models import BranchCommit, Environment, Instance, KeyPair, Ref, Target
from deploynaut.instances.models import Commit as Row
from deploynaut.runs.models import Run
from tests.builders import NOW, make_environment, make_instance, make_target, make_user

pytestmark = pytest.mark.django_db
GIT = "git@git.acme.example:acme/site.git"


def add_instance(**changed: Any) -> Instance:
    return Instance.objects.add(
        **{"name": "acme", "title": "Acme", "repository": GIT, "by": None, "now": NOW, **changed}
    )


def test_an_administrator_creates_an_instance_and_its_key_is_being_made() -> None:
    ada = make_user("Ada", Role.ADMINISTRATOR)
    instance = add_instance(by=ada)
    pair = KeyPair.objects.get(owner="instance", owner_id=instance.pk)
    assert pair.public == "" and pair.sealed == ""
    assert sorted(Run.objects.values_list("kind", flat=True)) == ["key", "repository_scan"]
    assert AuditEntry.objects.filter(action="instance created", actor=ada).exists()


def test_nobody_else_creates_instances() -> None:
    with pytest.raises(NotAllowed):
        add_instance(by=make_user("Rob", Role.TECHNICAL_STAFF, instance=make_instance("other")))
    assert not Instance.objects.filter(name="acme").exists()


@pytest.mark.parametrize("name", ["", "-x", "Acme", "a b", "a/b", "ä", "x" * 64, "a\n", "-", "new"])
def test_a_name_that_could_not_be_an_address_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        add_instance(name=name)
    assert not Instance.objects.exists()


@pytest.mark.parametrize(
    "repository",
    [
        "ext::sh -c touch% /tmp/x",
        "file:///etc",
        "-oProxyCommand=x",
        "ssh://-oProxyCommand=x/y",
        "/etc",
        "",
        "git://x/y",
    ],
)
def test_a_repository_that_git_may_not_be_given_is_refused(repository: str) -> None:
    with pytest.raises(ValidationError) as refused:
        add_instance(repository=repository)
    assert "repository" in refused.value.message_dict
    assert not Instance.objects.exists() and not Run.objects.exists()


def test_a_key_is_made_once_sealed_and_opened_by_the_worker_alone(settings: Settings, tmp_path: Path) -> None:
    settings.DEPLOYNAUT_MASTER_KEY = tmp_path / "keys" / "master.key"
    settings.DEPLOYNAUT_MASTER_PUB = tmp_path / "keys" / "master.key.pub"
    secrets.ensure_master_key()
    with inline_engine(now=NOW) as engine:
        instance = add_instance(repository="https://git.acme.example/acme.git")
        engine.settle()
        pair = KeyPair.objects.get(owner="instance")
        assert pair.public.startswith("ssh-ed25519 ") and pair.fingerprint == fingerprint(pair.public)
        private = Opener.from_file(settings.DEPLOYNAUT_MASTER_KEY).open(pair.sealed, purpose=pair.purpose)
        assert private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
        assert private.decode() not in pair.sealed
        run = Run.objects.get(kind="key")
        Run.objects.filter(pk=run.pk).update(status="queued", ended_at=None)
        run.steps.update(status="pending")
        run.wake()
        engine.settle()
    again = KeyPair.objects.get(owner="instance")
    assert again.public == pair.public and secrets.private_key("instance", instance.pk) == private


def test_a_pipeline_with_mistakes_is_refused_line_by_line() -> None:
    instance = make_instance()
    with pytest.raises(ValidationError) as refused:
        Environment.objects.add(
            instance=instance, name="uat", kind="uat", pipeline="steps:\n  - relase\n", by=None, now=NOW
        )
    assert "pipeline:2:5" in str(refused.value) and "relase" in str(refused.value)


@pytest.mark.parametrize("name", ["new", "compare", "settings", "snapshots"])
def test_an_environment_cannot_have_the_name_of_a_page(name: str) -> None:
    with pytest.raises(ValidationError, match="an address of Deploynaut's own"):
        Environment.objects.add(instance=make_instance(), name=name, kind="uat", by=None, now=NOW)


def test_the_kind_is_fixed_once_it_has_been_released_to() -> None:
    environment = make_environment()
    Environment.objects.filter(pk=environment.pk).update(last_number=1)
    environment.refresh_from_db()
    with pytest.raises(ValidationError, match="fixed"):
        Environment.objects.change(environment, by=None, now=NOW, kind="production")


def test_settings_are_changed_by_an_instance_manager_and_written_down() -> None:
    environment = make_environment()
    mia = make_user("Mia", Role.DEPLOYMENT_MANAGER, instance=environment.instance)
    with pytest.raises(NotAllowed):
        Environment.objects.change(environment, by=mia, now=NOW, url="https://x.example/")
    ina = make_user("Ina", Role.INSTANCE_MANAGER, instance=environment.instance)
    Environment.objects.change(environment, by=ina, now=NOW, url="https://new.example/")
    entry = AuditEntry.objects.get(action="environment changed")
    assert entry.before["url"] == "https://uat.acme.example/" and entry.after["url"] == "https://new.example/"


# --- targets ---------------------------------------------------------------------------------------------------------


def ssh(environment: Environment, **changed: Any) -> Target:
    fields = {"address": "web1.acme.example", "user": "deploy", "base": "/sites/acme", **changed}
    found = Target.objects.add(environment=environment, by=None, now=NOW, **fields)
    assert isinstance(found, Target)
    return found


def test_a_new_target_is_not_trusted_until_a_person_has_compared_the_fingerprint() -> None:
    environment = make_environment(targets=0)
    target = ssh(environment)
    assert target.host_key == "" and not environment.ready_targets().exists()
    assert Run.objects.filter(kind="target_scan", subject_id=target.pk).exists()
    _, key = make_ssh_key("host")
    Target.objects.filter(pk=target.pk).update(host_key_seen=key)
    target.refresh_from_db()
    ina = make_user("Ina", Role.INSTANCE_MANAGER, instance=environment.instance)
    with pytest.raises(ValidationError, match="another key now"):
        Target.objects.confirm(target, fingerprint="SHA256:somethingelse", by=ina, now=NOW)
    Target.objects.confirm(target, fingerprint=fingerprint(key), by=ina, now=NOW)
    target.refresh_from_db()
    assert target.host_key == key and Run.objects.filter(kind="target_set_up").exists()


def test_only_those_who_may_edit_confirm_a_host_key() -> None:
    environment = make_environment(targets=0)
    target = make_target(environment, seen=True)
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=environment.instance)
    with pytest.raises(NotAllowed):
        Target.objects.confirm(target, fingerprint=fingerprint(target.host_key_seen), by=rob, now=NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "-oProxyCommand=x"),
        ("address", "a b"),
        ("address", "x;id"),
        ("address", "$(id)"),
        ("user", "-x"),
        ("user", "a;b"),
        ("base", "relative"),
        ("base", "/a/../b"),
        ("base", "/a\nb"),
        ("base", "/"),
        ("web", False),
    ],
)
def test_what_cannot_name_a_target_is_refused_with_its_field(field: str, value: object) -> None:
    environment = make_environment(targets=0)
    with pytest.raises(ValidationError) as refused:
        ssh(environment, **{field: value})
    assert field in refused.value.message_dict
    assert not Target.objects.exists()


def test_a_target_on_this_machine_is_for_the_demo_alone() -> None:
    environment = make_environment(targets=0)
    with pytest.raises(ValidationError, match="for the demo alone"):
        Target.objects.add(environment=environment, reach="local", base="/srv/x", by=None, now=NOW)


def test_one_place_is_one_target() -> None:
    environment = make_environment(targets=0)
    ssh(environment)
    with pytest.raises(ValidationError):
        ssh(environment)
    with pytest.raises(IntegrityError), transaction.atomic():
        Target.objects.create(environment=environment, address="web1.acme.example", user="d", base="/sites/acme")


def test_the_place_of_a_repository_over_ssh() -> None:
    assert ssh_place("git@git.example:a/b.git") == ("git.example", 22)
    assert ssh_place("ssh://git@git.example:2222/a.git") == ("git.example", 2222)
    assert ssh_place("https://git.example/a.git") is None


# --- the index -------------------------------------------------------------------------------------------------------


class Told:
    """A mirror that tells what the test wrote down."""

    def __init__(self, branches: dict[str, list[str]], tags: dict[str, str]) -> None:
        self.history, self.tagged = branches, tags

    def branches(self) -> list[Branch]:
        return [Branch(n, ids[0] * 40, _at(1), f"subject {ids[0]}", "Rob") for n, ids in self.history.items()]

    def tags(self) -> list[Tag]:
        return [Tag(n, c * 40, True, f"release {n}", "Rob", _at(2)) for n, c in self.tagged.items()]

    def commits(self, ref: str, *, limit: int) -> list[Commit]:
        ids = next(ids for ids in self.history.values() if ids[0] * 40 == ref)
        return [_commit(c) for c in ids][:limit]

    def all_commits(self) -> list[Commit]:
        return [_commit(c) for c in sorted({c for ids in self.history.values() for c in ids})]


def _at(second: int) -> datetime:
    return datetime(2026, 7, 1, 12, 0, second, tzinfo=UTC)


def _commit(digit: str) -> Commit:
    return Commit(digit * 40, (), "Rob", "rob@acme.example", _at(1), _at(1), f"subject {digit}", "", tree=digit * 40)


def test_a_fetch_refreshes_the_index_and_forgets_no_commit() -> None:
    instance = make_instance(fetched=False)
    counted = index.refresh(instance, Told({"main": ["b", "a"], "old": ["c", "a"]}, {"1.0": "a"}), now=NOW)  # type: ignore[arg-type]
    assert counted == (2, 1)
    index.refresh(instance, Told({"main": ["d", "b", "a"]}, {"1.0": "b"}), now=NOW)  # type: ignore[arg-type]
    assert [ref.name for ref in Ref.objects.filter(kind="branch")] == ["main"]
    assert Ref.objects.get(kind="tag").commit == "b" * 40
    assert set(Row.objects.values_list("hex", flat=True)) == {digit * 40 for digit in "abcd"}
    newest = BranchCommit.objects.filter(ref__name="main").values_list("commit__hex", flat=True)
    assert list(newest) == ["d" * 40, "b" * 40, "a" * 40]


def test_the_index_names_each_commits_tree_also_of_one_that_was_stored_without() -> None:
    instance = make_instance(fetched=False)
    Row.objects.create(instance=instance, hex="a" * 40, authored_at=NOW, committed_at=NOW)
    index.refresh(instance, Told({"main": ["b", "a"]}, {}), now=NOW)  # type: ignore[arg-type]
    assert dict(Row.objects.values_list("hex", "tree")) == {"a" * 40: "a" * 40, "b" * 40: "b" * 40}


def test_the_first_release_that_reaches_the_hosts_is_remembered() -> None:
    environment = make_environment(name="prod", kind="production")
    assert (environment.released, environment.guarded) == (False, False)
    environment.mark_released(NOW)
    environment.mark_released(NOW.replace(year=2027))
    assert (environment.released, environment.guarded, environment.released_at) == (True, True, NOW)
    assert not make_environment().guarded


def test_each_text_of_a_pipeline_is_kept() -> None:
    environment = make_environment()
    Environment.objects.change(environment, by=None, now=NOW.replace(hour=13), pipeline="description: second")
    Environment.objects.change(environment, by=None, now=NOW.replace(hour=14), url="https://x.example/")
    assert [one.text for one in environment.pipeline_versions.all()] == ["description: second", ""]


def test_a_large_index_never_keeps_the_database_to_itself(django_assert_max_num_queries: Callable[..., Any]) -> None:
    """Beats, marks and logs of all workers wait for one writer: commits go in pieces, and only the needed are read."""
    instance = make_instance(fetched=False)
    letters = [chr(0x4E00 + number) for number in range(600)]
    history = {f"branch-{number}": letters[number * 30 : number * 30 + 30] for number in range(20)}
    with django_assert_max_num_queries(40) as seen:
        index.refresh(instance, Told(history, {}), now=NOW)  # type: ignore[arg-type]
    read = [one["sql"] for one in seen.captured_queries if "body" in one["sql"] and one["sql"].startswith("SELECT")]
    assert not read
    assert BranchCommit.objects.count() == 600
    newest = BranchCommit.objects.filter(ref__name="branch-3").values_list("commit__hex", flat=True)
    assert list(newest) == [letter * 40 for letter in history["branch-3"]]


@pytest.mark.django_db(transaction=True)
def test_commits_are_stored_before_the_index_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = make_instance(fetched=False)
    seen: list[bool] = []
    store = index._store_commits

    def watched(instance: Instance, commits: list[Commit]) -> None:
        seen.append(connection.in_atomic_block)
        store(instance, commits)

    monkeypatch.setattr(index, "_store_commits", watched)
    index.refresh(instance, Told({"main": ["b", "a"]}, {}), now=NOW)  # type: ignore[arg-type]
    assert seen == [False]


def test_a_second_fetch_waits_for_the_first() -> None:
    instance = make_instance()
    rob = make_user("Rob", Role.TECHNICAL_STAFF, instance=instance)
    begin_fetch(instance, by=rob, now=NOW)
    with pytest.raises(AlreadyFetching):
        begin_fetch(instance, by=rob, now=NOW)
    with pytest.raises(NotAllowed):
        begin_fetch(make_instance("other"), by=rob, now=NOW)
