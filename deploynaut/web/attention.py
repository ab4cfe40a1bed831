"""What needs a person: for the front page, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from deploynaut.accounts.rights import UserRights
from deploynaut.accounts.roles import Right
from deploynaut.instances.models import Instance, Target
from deploynaut.notify.attention import missing
from deploynaut.notify.models import Message
from deploynaut.web import overview, scope


@dataclass(frozen=True, slots=True)
class Item:
    """One thing: what it is, why a person is needed, and where to act. `bad`: a site is affected now."""

    what: str
    why: str
    url: str
    act: str
    bad: bool = False


def items(rights: UserRights) -> list[Item]:
    """Everything that this person sees and somebody should look at. Five queries."""
    return [*_stuck(rights), *_nobody_is_texted(rights), *_undelivered(rights), *_hosts(rights), *_repositories(rights)]


def _stuck(rights: UserRights) -> list[Item]:
    return [
        Item(
            what=f"{one.environment} is in its maintenance screen",
            why="The rollback failed. Ops have been told. A new release may be begun.",
            url=one.get_absolute_url(),
            act=f"Open #{one.number}",
            bad=True,
        )
        for one in overview.stuck_for(rights)
    ]


def _nobody_is_texted(rights: UserRights) -> list[Item]:
    """For those who can mend it."""
    words = missing() if rights.may(Right.SYSTEM_SETTINGS) else ""
    return (
        [Item(what="No text messages can be sent", why=words, url=reverse("system-settings"), act="Set up")]
        if words
        else []
    )


def _hosts(rights: UserRights) -> list[Item]:
    mine = rights.environments(
        Right.EDIT_ENVIRONMENT, instance="environment__instance_id", environment="environment_id"
    )
    seen = (
        Target.objects.filter(mine, host_key="")
        .exclude(host_key_seen="")
        .select_related("environment__instance")
        .order_by("pk")
    )
    return [
        Item(
            what=f"{target} wants to join {target.environment}",
            why="Compare the fingerprint of its host key and confirm it.",
            url=f"{target.environment.get_absolute_url()}#target-{target.pk}",
            act="Compare",
        )
        for target in seen
    ]


def _repositories(rights: UserRights) -> list[Item]:
    mine = rights.instances(Right.EDIT_ENVIRONMENT)
    seen = Instance.objects.filter(mine, repository_host_key="").exclude(repository_host_key_seen="")
    return [
        Item(
            what=f"The repository server of {instance} is not known yet",
            why="Compare the fingerprint of its host key and confirm it; nothing is fetched before.",
            url=f"{instance.get_absolute_url()}#repository",
            act="Compare",
        )
        for instance in seen
    ]


def _undelivered(rights: UserRights) -> list[Item]:
    runs = scope.deployments(rights).filter(run__messages__status=Message.Status.GIVEN_UP).distinct()[:5]
    return [
        Item(
            what=f"A message about {one} was not delivered",
            why="The mail server has refused it each time. The deployment's page says why.",
            url=f"{one.get_absolute_url()}#messages",
            act=f"Open #{one.number}",
        )
        for one in runs
    ]
