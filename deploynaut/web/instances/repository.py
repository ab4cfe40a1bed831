"""The repository part of an instance's page: fetch, its progress, the server's host key."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from deploynaut.accounts.clock import now
from deploynaut.accounts.rights import UserRights
from deploynaut.engine.pipeline import Status
from deploynaut.instances.fetching import AlreadyFetching, begin_fetch, latest_fetch
from deploynaut.instances.models import Instance
from deploynaut.runs.models import LogChunk, Run
from deploynaut.web import abilities, scope
from deploynaut.web.abilities import Ability
from deploynaut.web.instances import keys


@dataclass(frozen=True, slots=True)
class Repository:
    """What the part shows. `line`: what the fetch says it is doing; `error`: how the last one failed."""

    instance: Instance
    run: Run | None
    scan: Run | None
    line: str
    fetch: Ability
    confirm: Ability
    host_keys: tuple[keys.HostKey, ...]

    @property
    def busy(self) -> bool:
        """A fetch, or the look-up of the server's key, has not ended."""
        return self.fetching or self.scanning

    @property
    def fetching(self) -> bool:
        """A fetch has not ended."""
        return self.run is not None and not self.run.ended

    @property
    def scanning(self) -> bool:
        """The server's key is being looked up."""
        return self.scan is not None and not self.scan.ended

    @property
    def scan_error(self) -> str:
        """Why the server's key could not be looked up."""
        needed = not self.instance.repository_host_key and not self.host_keys
        return self.scan.cause if needed and self.scan is not None and self.scan.status == Status.FAILED else ""

    @property
    def error(self) -> str:
        """Why the last fetch did not succeed."""
        if self.run is None or self.run.status not in (Status.FAILED, Status.ABORTED):
            return ""
        return self.run.cause or "It failed without a word; the log has more."


def repository(request: HttpRequest, rights: UserRights, instance: Instance) -> Repository:
    """The part as this person sees it. Two queries, more when something is refused."""
    user = scope.person(request)
    run = latest_fetch(instance)
    host_keys = () if instance.repository_host_key else tuple(keys.seen(instance.repository_host_key_seen))
    return Repository(
        instance=instance,
        run=run,
        line=_last_line(run) if run is not None and not run.ended else "",
        scan=Run.objects.newest("repository_scan", instance.pk),
        fetch=abilities.fetch(user, rights, instance, unknown=bool(host_keys)),
        confirm=abilities.add_environment(user, rights, instance),
        host_keys=host_keys,
    )


def _last_line(run: Run) -> str:
    newest = LogChunk.objects.filter(run=run).order_by("-id").values_list("text", flat=True).first() or ""
    line = newest.rstrip("\n").rpartition("\n")[2]
    return line[9:] if line[2:3] == ":" else line


@require_safe
def part(request: HttpRequest, instance: str) -> HttpResponse:
    """The part alone: a page that waits for a fetch asks for it each second; then it is told to look at everything."""
    rights = scope.rights_of(request)
    found = repository(request, rights, scope.instance(rights, instance))
    answer = render(request, "web/instances/_repository.html", {"repository": found})
    if not found.busy:
        answer["HX-Refresh"] = "true"
    return answer


@require_POST
def fetch(request: HttpRequest, instance: str) -> HttpResponse:
    """Fetch latest changes."""
    rights = scope.rights_of(request)
    found = scope.instance(rights, instance)
    # While one is running, what was wished for is being done; the page shows it.
    with suppress(AlreadyFetching):
        begin_fetch(found, by=scope.person(request), now=now())
    return redirect(f"{reverse('instance', args=[found.name])}#repository")


@require_POST
def confirm(request: HttpRequest, instance: str) -> HttpResponse:
    """A person says that this is the key of the repository's server."""
    rights = scope.rights_of(request)
    found = scope.instance(rights, instance)
    fingerprint = request.POST.get("fingerprint", "")[:200]
    try:
        Instance.objects.confirm(found, fingerprint=fingerprint, by=scope.person(request), now=now())
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, "The host key is confirmed. Fetch the latest changes now.")
    return redirect(f"{reverse('instance', args=[found.name])}#repository")
