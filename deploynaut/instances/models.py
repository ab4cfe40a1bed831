"""Instance, its environments and their targets: what there is to release, and where to.

An instance is one site with exactly one repository. Verbs check the right, write the audit entry and begin the run that
does the slow part, in one transaction.
"""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import StrIndex
from django.urls import reverse

from deploynaut.engine.pipeline import PipelineSpec, parse
from deploynaut.engine.recipes import Recipe, make
from deploynaut.instances.managers import EnvironmentManager, InstanceManager, TargetManager

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
    """Where an instance runs. `pipeline`: the YAML of its steps. `last_number`: of its newest deployment."""

    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="environments")
    name = models.CharField(max_length=63, validators=[NAME])
    kind = models.CharField(max_length=20, choices=Kind.choices)
    url = models.URLField(max_length=500, blank=True)
    recipe = models.CharField(max_length=40, default="plain")
    recipe_options = models.JSONField(default=dict, blank=True)
    pipeline = models.TextField(blank=True)
    last_number = models.PositiveIntegerField(default=0)
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

    def ready_targets(self) -> models.QuerySet[Target]:
        """The hosts that are set up and may be released to."""
        return self.targets.filter(set_up_at__isnull=False)


class Target(models.Model):
    """One host of an environment.

    `base`: absolute path that holds releases/, current and shared/. `host_key`: the pinned line `type base64`, empty
    until a person has confirmed the fingerprint of `host_key_seen`. `page`: where this very host answers HTTP.
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

    objects = TargetManager()

    class Meta:
        ordering: ClassVar = ["environment", "pk"]
        constraints: ClassVar = [
            # The same folder of the same machine may not be two targets: two locks would guard one place.
            models.UniqueConstraint(fields=["address", "port", "base"], name="one_target_a_place"),
            models.UniqueConstraint(
                fields=["host_key", "base"], name="one_target_a_host_and_base", condition=~models.Q(host_key="")
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


class Ref(models.Model):
    """A branch or tag, as of the last fetch. `commit`: the full id it points at (tags peeled)."""

    class Kind(models.TextChoices):
        """Branch or tag."""

        BRANCH = "branch", "branch"
        TAG = "tag", "tag"

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="refs")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=255)
    commit = models.CharField(max_length=64)
    at = models.DateTimeField()
    subject = models.TextField(blank=True)
    author = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["instance", "kind", "name"], name="one_row_a_ref")]
        indexes: ClassVar = [models.Index(fields=["instance", "commit"], name="refs_at_commit")]

    def __str__(self) -> str:
        return self.name


class Commit(models.Model):
    """A commit of the repository, kept when its branch is gone: deployments name it for ever."""

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="commits")
    hex = models.CharField(max_length=64)
    subject = models.TextField(blank=True)
    body = models.TextField(blank=True)
    author = models.CharField(max_length=300, blank=True)
    authored_at = models.DateTimeField()
    committed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-committed_at"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["instance", "hex"], name="one_row_a_commit")]

    def __str__(self) -> str:
        return self.short

    @property
    def short(self) -> str:
        """The first seven digits, for people."""
        return self.hex[:7]


class BranchCommit(models.Model):
    """The newest commits of a branch, newest first, so that pages ask no git."""

    ref = models.ForeignKey(Ref, on_delete=models.CASCADE, related_name="newest")
    commit = models.ForeignKey(Commit, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()

    class Meta:
        ordering: ClassVar = ["ref", "position"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["ref", "position"], name="one_commit_a_position")]

    def __str__(self) -> str:
        return f"{self.ref}~{self.position}"
