"""Rows of the revision index: branches, tags and commits, as of the last fetch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Ref(models.Model):
    """A branch or tag, as of the last fetch. `commit`: the full id it points at (tags peeled)."""

    class Kind(models.TextChoices):
        """Branch or tag."""

        BRANCH = "branch", "branch"
        TAG = "tag", "tag"

    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="refs")
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
    """A commit of the repository, kept when its branch is gone: deployments name it for ever. `tree`: git's id of its
    files, empty for what an older Deploynaut has stored.
    """

    instance = models.ForeignKey("instances.Instance", on_delete=models.CASCADE, related_name="commits")
    hex = models.CharField(max_length=64)
    subject = models.TextField(blank=True)
    body = models.TextField(blank=True)
    author = models.CharField(max_length=300, blank=True)
    tree = models.CharField(max_length=64, blank=True)
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
