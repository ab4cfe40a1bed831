"""The one repository of an instance: a bare mirror, its revisions, and their trees, all by the git program."""

from deploynaut.engine.repository.access import Access
from deploynaut.engine.repository.addresses import BadAddress, account_of, check_address, host_of, is_local, uses_ssh
from deploynaut.engine.repository.fetching import (
    EmptyRepository,
    HostKeyMismatch,
    RepositoryDamaged,
    RepositoryError,
    RepositoryNotFound,
    RepositoryRefused,
    RepositoryUnreachable,
    enable_where,
)
from deploynaut.engine.repository.listing import Branch, Changes, Commit, Tag
from deploynaut.engine.repository.members import RELEASE_FILE, BadTree, Kind, Limits, Member, inspect, shown
from deploynaut.engine.repository.mirror import FetchResult, Mirror, NeverFetched, RevisionNotFound
from deploynaut.engine.repository.places import check_place
from deploynaut.engine.repository.program import GitMissing
from deploynaut.engine.repository.revisions import BadRevision, check_commit, check_ref, is_full_id

__all__ = [
    "RELEASE_FILE",
    "Access",
    "BadAddress",
    "BadRevision",
    "BadTree",
    "Branch",
    "Changes",
    "Commit",
    "EmptyRepository",
    "FetchResult",
    "GitMissing",
    "HostKeyMismatch",
    "Kind",
    "Limits",
    "Member",
    "Mirror",
    "NeverFetched",
    "RepositoryDamaged",
    "RepositoryError",
    "RepositoryNotFound",
    "RepositoryRefused",
    "RepositoryUnreachable",
    "RevisionNotFound",
    "Tag",
    "account_of",
    "check_address",
    "check_commit",
    "check_place",
    "check_ref",
    "enable_where",
    "host_of",
    "inspect",
    "is_full_id",
    "is_local",
    "shown",
    "uses_ssh",
]
