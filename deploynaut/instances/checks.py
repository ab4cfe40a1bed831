"""What is checked before anything is stored. Every refusal is a ValidationError that names its field."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models

from deploynaut.accounts import audit
from deploynaut.accounts.models import User
from deploynaut.accounts.rights import require
from deploynaut.accounts.roles import Right
from deploynaut.engine.connections.grammar import check_host, check_path, check_user
from deploynaut.engine.connections.host_keys import fingerprint as fingerprint_of
from deploynaut.engine.pipeline import SpecError, parse
from deploynaut.engine.recipes import RecipeError, make
from deploynaut.engine.repository import BadAddress, check_address, check_place
from deploynaut.instances import approvers
from deploynaut.instances.hosts import check_hosts

if TYPE_CHECKING:
    from deploynaut.instances.models import Environment, Target


def local_repositories() -> Path | None:
    """Below this folder alone a repository may be a path: the demo's own; None outside the demo."""
    return Path(settings.DEPLOYNAUT_DATA) / "demo" if settings.DEPLOYNAUT_DEMO else None


def require_edit(by: User, environment: Environment) -> None:
    """The right to edit this environment, its targets and its pipeline. Raises NotAllowed."""
    require(
        by,
        Right.EDIT_ENVIRONMENT,
        instance=environment.instance_id,
        environment=environment.pk,
        place=environment.place,
    )


def check_name(name: str, ours: frozenset[str]) -> None:
    """The name is not one of `ours`, the addresses of pages."""
    if name in ours:
        raise ValidationError({"name": f"{name!r} is an address of Deploynaut's own. Choose another name."})


def check_repository(address: str) -> None:
    """Git may be given this address."""
    try:
        check_address(address, allow_local_below=local_repositories())
        check_place(address, private=settings.DEPLOYNAUT_PRIVATE_REPOSITORIES)
    except BadAddress as error:
        raise ValidationError({"repository": str(error)}) from None


def check_environment(environment: Environment, *, placed: bool) -> None:
    """Hosts, recipe and pipeline are usable. `placed`: the pipeline's people and hosts are those of the environment.

    Not so for the demo's own set-up, which comes before its people.
    """
    environment.hosts = check_hosts(environment.hosts)
    try:
        make(environment.recipe, environment.recipe_options)
    except RecipeError as error:
        raise ValidationError({"recipe": str(error)}) from None
    here: dict[str, Any] = {"production": environment.production, "name": "pipeline"}
    if placed:
        here["hosts"] = environment.allowed_hosts
        if environment.pk is not None:
            here["may_approve"] = lambda entry: approvers.may(environment, entry)
            here["approvers"] = lambda entry: approvers.persons_of(environment, entry)
    try:
        parse(environment.pipeline, **here)
    except SpecError as error:
        raise ValidationError({"pipeline": error.problems}) from None


def check_target(target: Target) -> None:
    """Host, user, base path and roles of a target."""
    problems: dict[str, str] = {}
    checks: list[tuple[str, Any, str]] = [("base", check_path, target.base)]
    if target.reach == target.Reach.SSH:
        checks += [("address", check_host, target.address), ("user", check_user, target.user)]
    elif local_repositories() is None or not Path(target.base).is_relative_to(str(local_repositories())):
        problems["reach"] = "Targets on this machine are for the demo alone. Give the host's address, to go over SSH."
    for field, check, value in checks:
        try:
            check(value)
        except ValueError as error:
            problems[field] = str(error)
    if not target.roles:
        problems["web"] = "A target serves pages (web), or does what is done once (db), or both."
    if problems:
        raise ValidationError(problems)


def confirmed(seen: str, wanted: str) -> str:
    """The key among those seen that a person has confirmed; refused when it is not there any more."""
    key = next((line for line in seen.splitlines() if fingerprint_of(line) == wanted), "")
    if not key:
        raise ValidationError("The host shows another key now. Compare the fingerprint again.")
    return key


def save(row: models.Model) -> None:
    """Store a row that holds. Two at one moment: the second is refused in words."""
    row.full_clean()
    try:
        row.save()
    except IntegrityError:
        raise ValidationError("Somebody has just saved the same. Look at the list again.") from None


def record(action: str, subject: Any, *, by: User | None, now: datetime, **what: Any) -> None:
    """A row of the audit trail about an instance, an environment or a target."""
    kind = type(subject).__name__.lower()
    audit.record(action, actor=by, subject=audit.Subject(kind, subject.pk, str(subject)), now=now, **what)
