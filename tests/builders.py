"""Builders that speak in states: `make_deployment(at="release")`. They go through the verbs wherever there is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from deploynaut.accounts.models import Grant, User
from deploynaut.accounts.roles import Role
from deploynaut.deployments.models import Deployment
from deploynaut.deployments.promotion import promoted
from deploynaut.engine.pipeline import Claimed, Event, Mark, TaskFailed, TaskSucceeded
from deploynaut.instances.models import BranchCommit, Commit, Environment, Instance, KeyPair, Ref, Target
from deploynaut.instances.revisions import By, Revision
from deploynaut.runs.log_text import stamped
from deploynaut.runs.models import LogChunk, Run, StepFacts
from deploynaut.runs.runner import open_gate

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
PASSWORD = "four calm otters swim"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJc1q0v5Vb4k3m0yT7m3hG9wqk7lJj0u3cQm1p7o2aXy"
_numbers = count(1)


def make_user(name: str = "Rob", *roles: Role, instance: Instance | None = None, at: Environment | None = None) -> User:
    """A person with these roles on an instance, or on one environment (`at`) alone."""
    email = f"{name.lower()}@acme.example"
    user = User.objects.filter(email=email).first()
    user = user or User.objects.create_person(email=email, name=name, password=PASSWORD, now=NOW)
    for role in roles:
        _give(user, role, instance, at)
    return user


def _give(user: User, role: Role, instance: Instance | None, at: Environment | None) -> None:
    place = None if role is Role.ADMINISTRATOR else (at.instance_id if at else instance.pk if instance else None)
    Grant.objects.give(by=None, to=user, role=role, now=NOW, instance=place, environment=at.pk if at else None)


def make_instance(name: str = "acme", *, fetched: bool = True, keyed: bool = True) -> Instance:
    """An instance whose key is made and whose repository has been fetched: main, a side branch, one tag."""
    address = f"https://git.acme.example/{name}.git"
    instance = Instance.objects.add(name=name, title=name.capitalize(), repository=address, by=None, now=NOW)
    if keyed:
        make_key("instance", instance.pk)
    if fetched:
        commits = [make_commit(instance, subject) for subject in ("Add the search page", "Fix the search page")]
        make_branch(instance, "main", commits)
        make_branch(instance, "feature/search", commits[:1])
        make_tag(instance, "1.0", commits[0])
        Instance.objects.filter(pk=instance.pk).update(fetched_at=NOW)
        instance.refresh_from_db()
    return instance


def make_key(owner: str, pk: int) -> None:
    """What the worker leaves when it has made a key pair."""
    Run.objects.filter(kind="key").update(status="succeeded", ended_at=NOW)
    pair = KeyPair.objects.filter(owner=owner, owner_id=pk)
    pair.update(public=f"{HOST_KEY} deploynaut", fingerprint="SHA256:u3Qx0y2nM0i7m5m9c1r8kq", sealed="x", made_at=NOW)


def make_commit(
    instance: Instance, subject: str = "Change a word", *, author: str = "Rob", at: datetime = NOW
) -> Commit:
    """A commit of the index."""
    number = next(_numbers)
    return Commit.objects.create(
        instance=instance,
        hex=f"{number * 7919 % 2**32:08x}" * 5,
        subject=subject,
        author=author,
        authored_at=at,
        committed_at=at + timedelta(seconds=number),
    )


def make_branch(instance: Instance, name: str, commits: list[Commit]) -> Ref:
    """A branch; its commits oldest first."""
    ref = _ref(instance, Ref.Kind.BRANCH, name, commits[-1])
    BranchCommit.objects.bulk_create(
        BranchCommit(ref=ref, commit=commit, position=i) for i, commit in enumerate(reversed(commits))
    )
    return ref


def make_tag(instance: Instance, name: str, commit: Commit) -> Ref:
    """A tag."""
    return _ref(instance, Ref.Kind.TAG, name, commit)


def _ref(instance: Instance, kind: str, name: str, commit: Commit) -> Ref:
    return Ref.objects.create(
        instance=instance, kind=kind, name=name, commit=commit.hex, at=commit.committed_at, subject=commit.subject
    )


def make_environment(
    instance: Instance | None = None, name: str = "uat", *, kind: str = "uat", targets: int = 1, pipeline: str = ""
) -> Environment:
    """An environment whose targets are set up."""
    instance = instance or Instance.objects.filter(name="acme").first() or make_instance()
    url = f"https://{name}.acme.example/"
    environment = Environment.objects.add(
        instance=instance, name=name, kind=kind, url=url, recipe="plain", pipeline=pipeline, by=None, now=NOW
    )
    make_key("environment", environment.pk)
    for number in range(targets):
        make_target(environment, f"web{number + 1}.{name}.{instance.name}.example")
    return environment


def make_target(environment: Environment, address: str = "web1.acme.example", *, seen: bool = False) -> Target:
    """A target that is set up; with `seen`, one whose host key waits for a person."""
    return Target.objects.create(
        environment=environment,
        address=address,
        user="deploy",
        base="/sites/acme",
        db=True,
        host_key="" if seen else f"{HOST_KEY[:-4]}{next(_numbers):04d}",
        host_key_seen=HOST_KEY if seen else "",
        set_up_at=None if seen else NOW,
    )


@dataclass
class Story:
    """Drives a deployment's run as a worker would, step by step, with a clock of its own."""

    deployment: Deployment
    now: datetime = NOW
    steps: dict[str, str] = field(
        default_factory=lambda: {
            "prepare": "1 host, 42 files",
            "backup": "214 KB saved",
            "release": "live on 1 host",
            "smoke_tests": "2 of 2 passed",
            "roll_back": "release 1 is live again",
        }
    )

    @property
    def run(self) -> Run:
        """The run, fresh."""
        return Run.objects.get(pk=self.deployment.run_id)

    def later(self, seconds: int = 60) -> datetime:
        """The clock, moved on."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def fresh(self) -> Deployment:
        """The deployment, read again."""
        return Deployment.objects.get_queryset().for_page().get(pk=self.deployment.pk)

    def apply(self, event: Event, *, facts: StepFacts | None = None, seconds: int = 4) -> None:
        """An event, some seconds later."""
        self.now += timedelta(seconds=seconds)
        self.run.apply(event, now=self.now, facts=facts)

    def begin_step(self) -> str:
        """A worker takes the next step; its kind."""
        self.apply(Claimed(), seconds=1)
        step = self.run.state().current
        assert step is not None
        if step.is_gate:
            open_gate(self.run, self.run.steps.get(status="waiting"), now=self.now)
        self.log(f"{step.kind} begins")
        return step.kind

    def log(self, text: str) -> LogChunk:
        """A line of the step in hand."""
        run, position = self.run, self.run.state().position
        assert position is not None
        step = run.steps.get(position=position)
        return LogChunk.objects.create(run=run, step=step, at=self.now, text=stamped(text, now=self.now))

    def do(self, *, fail: str = "", mark: Mark | None = None) -> None:
        """Do the next step whole; `fail`: with this reason."""
        kind = self.begin_step()
        if mark is not None:
            self.run.reach(mark, token=self.run.token, now=self.now)
        if fail:
            self.apply(TaskFailed(fail))
        else:
            self.apply(TaskSucceeded(), facts=StepFacts(self.steps.get(kind, "done"), {"seconds": 4}))


def make_deployment(
    environment: Environment | None = None,
    *,
    at: str = "queued",
    by: User | None = None,
    commit: Commit | None = None,
    now: datetime = NOW,
    branch: str = "main",
) -> Deployment:
    """A deployment at: queued, prepare, backup, release, smoke_tests (running each), succeeded, failed, rolled back,
    rollback failed, aborted; on production also approval, confirm, rollback_window (waiting each)."""
    environment = environment or make_environment()
    if environment.production:
        return _make_production(environment, at=at, by=by, commit=commit, now=now)
    instance = environment.instance
    by = by or make_user("Rob", *_unless(instance, Role.TECHNICAL_STAFF), instance=instance)
    commit = commit or Commit.objects.filter(instance=instance).first() or make_commit(instance)
    revision = Revision(commit=commit.hex, by=By.BRANCH, name=branch)
    deployment = Deployment.objects.begin(environment=environment, by=by, revision=revision, now=now)
    _to(Story(deployment, now), at)
    return Deployment.objects.get_queryset().for_page().get(pk=deployment.pk)


def _make_production(
    prod: Environment, *, at: str, by: User | None, commit: Commit | None, now: datetime
) -> Deployment:
    """A production release: its people are there, its commit has passed uat."""
    instance = prod.instance
    by = by or make_user("Rob", *_unless(instance, Role.TECHNICAL_STAFF), instance=instance)
    for name, role in (("Mia", Role.DEPLOYMENT_MANAGER), ("Olga", Role.OPS)):
        make_user(name, *_unless(instance, role, name), instance=instance)
    commit = commit or Commit.objects.filter(instance=instance).first() or make_commit(instance)
    uat = instance.environments.filter(name="uat").first() or make_environment(instance)
    if promoted(prod, commit.hex) is None:
        make_deployment(uat, at="succeeded", by=by, commit=commit, now=now - timedelta(hours=2))
    revision = Revision(commit=commit.hex, by=By.RELEASE)
    deployment = Deployment.objects.begin(environment=prod, by=by, revision=revision, now=now)
    _to_production(Story(deployment, now), at)
    return Deployment.objects.get_queryset().for_page().get(pk=deployment.pk)


def _to_production(story: Story, at: str) -> None:
    """Through the gates with Mia's approval and Rob's Deploy, then as far as asked."""
    if at == "queued":
        return
    story.begin_step()
    if at == "approval":
        return
    deployment = story.fresh()
    if at == "aborted":
        deployment.abort(by=deployment.initiator, now=story.later())
        return
    deployment.approve(by=make_user("Mia"), plan_hash=deployment.plan_hash, now=story.later())
    story.begin_step()
    if at == "confirm":
        return
    story.fresh().start(by=deployment.initiator, plan_hash=deployment.plan_hash, now=story.later())
    _to_window(story, at)


def _to_window(story: Story, at: str) -> None:
    if at not in ("rollback_window", "succeeded"):
        _to(story, at)
        return
    marks = {"backup": Mark.SAVED, "release": Mark.OPEN}
    for kind in ("prepare", "backup", "release", "smoke_tests"):
        story.do(mark=marks.get(kind))
    story.begin_step()
    if at == "succeeded":
        story.fresh().dismiss(by=story.deployment.initiator, now=story.later())


def _unless(instance: Instance, role: Role, name: str = "Rob") -> tuple[Role, ...]:
    email = f"{name.lower()}@acme.example"
    there = Grant.objects.filter(user__email=email, instance_id=instance.pk, role=role).exists()
    return () if there else (role,)


def _to(story: Story, at: str) -> None:
    kinds = ["prepare", "backup", "release", "smoke_tests"]
    marks = {"backup": Mark.SAVED, "release": Mark.OPEN}
    match at:
        case "queued":
            return
        case "failed":
            story.do(fail="composer could not be run: exit status 2")
            _finish(story)
        case "rolled back" | "rollback failed":
            for kind in kinds[:3]:
                story.do(mark=marks.get(kind))
            story.do(fail="The smoke test home answered 500 instead of 200")
            _finish(story, fail="web1 did not answer" if at == "rollback failed" else "")
        case "aborted":
            by = story.deployment.initiator
            story.deployment.abort(by=by, now=story.now)
        case "succeeded":
            _finish(story, marks)
        case _:
            for kind in kinds[: kinds.index(at)]:
                story.do(mark=marks.get(kind))
            story.begin_step()


def _finish(story: Story, marks: dict[str, Mark] | None = None, *, fail: str = "") -> None:
    while not story.run.ended:
        current = story.run.state().current
        assert current is not None
        story.do(mark=(marks or {}).get(current.kind), fail=fail)
