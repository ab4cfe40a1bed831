"""Instance, its environments and their targets: what there is to release, and where to.

An instance is one site with exactly one repository. Verbs check the right, write the audit entry and begin the run that
does the slow part, in one transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import StrIndex
from django.urls import reverse

from deploynaut.engine.pipeline import PipelineSpec, parse
from deploynaut.engine.recipes import Recipe, make
from deploynaut.instances.commits import BranchCommit, Commit, Ref
from deploynaut.instances.freezes import Freeze
from deploynaut.instances.hosts import allowed
from deploynaut.instances.locks import EnvironmentLock
from deploynaut.instances.managers import EnvironmentManager, InstanceManager, TargetManager
from deploynaut.instances.proposal import Proposal
from deploynaut.instances.versions import PipelineVersion

__all__ = [
    "BranchCommit", "Commit", "Environment", "EnvironmentLock", "Freeze", "Instance", "KeyPair", "Kind",
    "PipelineVersion", "Proposal", "Ref", "Target",
]  # fmt: skip

NAME = RegexValidator(
    r"\A[a-z0-9][a-z0-9-]{0,62}\Z",
    "Use lower-case letters, digits and dashes, at most 63, and begin with a letter or digit.",
)


class Instance(models.Model):
    """One site: its one repository, its people, its environments.

    `repository`: address as given; refused before it is stored when git may not be given it. `repository_host_key`:
    the pinned known_hosts line of the repository's server, empty until a person has confirmed it.
    """

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    title = models.CharField(max_length=200)
    repository = models.CharField(max_length=500)
    repository_host_key = models.TextField(blank=True)
    repository_host_key_seen = models.TextField(blank=True)
    created_at = models.DateTimeField()
    fetched_at = models.DateTimeField(null=True, blank=True)

    objects = InstanceManager()

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("instance", args=[self.name])

    @property
    def repository_lock(self) -> str:
        """The lock key of everything that works on the mirror."""
        return f"instance:{self.pk}:repository"


class Kind(models.TextChoices):
    """What an environment is for; fixed once it has been released to."""

    TEST = "test", "Test"
    UAT = "uat", "UAT"
    PRODUCTION = "production", "Production"


class Environment(models.Model):
    """Where an instance runs. `pipeline`: the YAML of its steps. `last_number`: of its newest deployment.

    `hosts`: what smoke tests may ask beside the host of `url`. `released_at`: since when a release has reached its
    hosts; from then on what guards a production environment is changed by two people.
    """

    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="environments")
    name = models.CharField(max_length=63, validators=[NAME])
    kind = models.CharField(max_length=20, choices=Kind.choices)
    url = models.URLField(max_length=500, blank=True)
    recipe = models.CharField(max_length=40, default="plain")
    recipe_options = models.JSONField(default=dict, blank=True)
    pipeline = models.TextField(blank=True)
    hosts = models.JSONField(default=list, blank=True)
    last_number = models.PositiveIntegerField(default=0)
    released_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    objects = EnvironmentManager()

    class Meta:
        # The way of a release: test, UAT, production.
        ordering: ClassVar = [
            "instance",
            StrIndex(models.Value("test uat production"), models.F("kind")),
            "name",
        ]
        constraints: ClassVar = [models.UniqueConstraint(fields=["instance", "name"], name="one_name_an_instance")]

    def __str__(self) -> str:
        return f"{self.instance.name}/{self.name}"

    def get_absolute_url(self) -> str:
        """Its page."""
        return reverse("environment", args=[self.instance.name, self.name])

    @property
    def place(self) -> str:
        """What a refusal calls it: `uat of acme`."""
        return f"{self.name} of {self.instance.name}"

    @property
    def production(self) -> bool:
        """Ruled by approval, attendance and window."""
        return self.kind == Kind.PRODUCTION

    @property
    def lock(self) -> str:
        """The lock key of everything that acts on its targets."""
        return f"environment:{self.pk}"

    def spec(self) -> PipelineSpec:
        """Its pipeline. Raises SpecError when the stored text is no longer valid."""
        return parse(self.pipeline, production=self.production, name=f"{self}.yml")

    def make_recipe(self) -> Recipe:
        """Its kind of site, with its options. Raises RecipeError (a ValueError) naming the option."""
        return make(self.recipe, self.recipe_options)

    @property
    def released(self) -> bool:
        """It has been released to."""
        return self.released_at is not None

    @property
    def guarded(self) -> bool:
        """What guards it is changed by proposal."""
        return self.production and self.released

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What its smoke tests may ask: names, addresses and networks, the host of its own address among them."""
        return allowed(self.url, self.hosts)

    def open_proposals(self) -> models.QuerySet[Proposal]:
        """Changes of it that wait for somebody to confirm them."""
        return Proposal.objects.open().filter(environment=self).order_by("at")

    def mark_released(self, now: datetime) -> None:
        """A release has got beyond preparation here. The first time counts."""
        Environment.objects.filter(pk=self.pk, released_at=None).update(released_at=now)
        self.refresh_from_db(fields=["released_at"])

    def current_targets(self) -> models.QuerySet[Target]:
        """The hosts that belong to it now: those that were removed stay for the history alone."""
        return self.targets.filter(removed_at=None)

    def ready_targets(self) -> models.QuerySet[Target]:
        """The hosts that are set up and may be released to."""
        return self.current_targets().filter(set_up_at__isnull=False)


class Target(models.Model):
    """One host of an environment.

    `base`: absolute path that holds releases/, current and shared/. `host_key`: the pinned line `type base64`, empty
    until a person has confirmed the fingerprint of `host_key_seen`. `page`: where this very host answers HTTP.
    `removed_at`: it is released to no more; deployments of the past still name it.
    """

    class Reach(models.TextChoices):
        """How Deploynaut gets there."""

        SSH = "ssh", "SSH"
        LOCAL = "local", "this machine"

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="targets")
    reach = models.CharField(max_length=10, choices=Reach.choices, default=Reach.SSH)
    address = models.CharField(max_length=253, blank=True)
    port = models.PositiveIntegerField(default=22)
    user = models.CharField(max_length=64, blank=True)
    base = models.CharField(max_length=500)
    web = models.BooleanField(default=True)
    db = models.BooleanField(default=False)
    page = models.URLField(max_length=500, blank=True)
    host_key = models.CharField(max_length=2000, blank=True)
    host_key_seen = models.CharField(max_length=2000, blank=True)
    set_up_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = TargetManager()

    class Meta:
        ordering: ClassVar = ["environment", "pk"]
        constraints: ClassVar = [
            # The same folder of the same machine may not be two targets: two locks would guard one place.
            models.UniqueConstraint(
                fields=["address", "port", "base"], name="one_target_a_place", condition=models.Q(removed_at=None)
            ),
            models.UniqueConstraint(
                fields=["host_key", "base"],
                name="one_target_a_host_and_base",
                condition=~models.Q(host_key="") & models.Q(removed_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" if self.reach == self.Reach.SSH else "this machine"

    @property
    def roles(self) -> frozenset[str]:
        """`web` and/or `db`."""
        return frozenset(role for role, has in (("web", self.web), ("db", self.db)) if has)


class KeyPair(models.Model):
    """An Ed25519 key pair: an instance's deploy key or an environment's SSH key. The private half is sealed.

    Made by the worker; until then `public` is empty and pages say "key is being made".
    """

    class Owner(models.TextChoices):
        """Whose key it is."""

        INSTANCE = "instance", "deploy key"
        ENVIRONMENT = "environment", "SSH key"

    owner = models.CharField(max_length=20, choices=Owner.choices)
    owner_id = models.BigIntegerField()
    name = models.CharField(max_length=200)
    public = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=100, blank=True)
    sealed = models.TextField(blank=True)
    made_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "owner_id"], name="one_key_an_owner")]

    def __str__(self) -> str:
        return self.name

    @property
    def purpose(self) -> str:
        """What the private half is sealed for; it opens nowhere else."""
        return f"{self.owner}:{self.owner_id}:ssh-key"
