"""RA33, the repository's part: no https address leads git to a place inside, by name, by number or by a redirect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from deploynaut.engine.repository import Access, BadAddress, Mirror, RepositoryUnreachable, check_place, places
from deploynaut.engine.repository.access import transport
from deploynaut.engine.repository.fetching import explain
from deploynaut.engine.repository.program import GitFailed
from deploynaut.instances.models import Instance
from tests.builders import NOW

pytestmark = pytest.mark.attacks

INSIDE = [
    "127.0.0.1", "127.0.0.1:8443", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "127.000.000.001", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]",
    "0.0.0.0", "0", "10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1.1:443",
    "100.64.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "2852039166", "0xa9fea9fe",
    "[fd00:ec2::254]", "[fe80::1]", "[fc00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "100.100.100.200",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "localhost", "LOCALHOST", "x.localhost", "git.local", "git.internal",
    "git.lan", "intranet", "router.home.arpa",
]  # fmt: skip


@pytest.fixture
def canary() -> Iterator[tuple[int, list[bytes]]]:
    """A server inside, and what it was asked."""
    server = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            asked.append(b"somebody came")
            one.close()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], asked
    server.close()


def fetch(directory: Path, address: str, private: frozenset[str] = frozenset()) -> None:
    mirror = Mirror(directory / "mirror", access=Access(address, private=private), stall=10)
    mirror.fetch(progress=lambda phase, percent: None, guard=lambda: None)


def test_there_are_forty_forms() -> None:
    assert len(INSIDE) >= 40


@pytest.mark.parametrize("place", INSIDE)
def test_an_address_inside_is_refused_before_anything_is_asked(
    place: str, tmp_path: Path, canary: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "system_resolver", lambda host, port: pytest.fail(f"{host} was looked up"))
    with pytest.raises(BadAddress):
        check_place(f"https://{place}/acme/site.git")
    host = place.rpartition(":")[0] if place.endswith((":8443", ":443")) else place
    # The grammar refuses some of them even earlier; both are a refusal in words.
    with pytest.raises((BadAddress, RepositoryUnreachable)):
        fetch(tmp_path, f"https://{host}:{canary[0]}/acme/site.git")
    assert canary[1] == []


@pytest.mark.django_db
@pytest.mark.parametrize("place", INSIDE[:12])
def test_an_instance_with_such_a_repository_is_not_stored(place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Instance.objects.add(name="x", title="x", repository=f"https://{place}/a/b.git", by=None, now=NOW)
    assert list(refused.value.message_dict) == ["repository"]
    assert not Instance.objects.exists()


@pytest.mark.parametrize("answer", ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "::ffff:10.1.2.3", "fe80::1%lo"])
def test_a_public_name_that_leads_inside_is_not_asked(
    answer: str, tmp_path: Path, canary: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "system_resolver", lambda host, port: ["8.8.8.8", answer])
    with pytest.raises(RepositoryUnreachable, match="not asked"):
        fetch(tmp_path, f"https://git.acme.example:{canary[0]}/site.git")
    assert canary[1] == []


def test_git_connects_to_the_address_that_was_looked_at_alone(
    tmp_path: Path, canary: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves to nothing for git itself: what reaches the canary came by the pinned address."""
    monkeypatch.setattr(places, "system_resolver", lambda host, port: ["127.0.0.1"])
    with pytest.raises(Exception, match=r"git\.nowhere\.example|could not be"):
        fetch(tmp_path, f"https://git.nowhere.example:{canary[0]}/site.git", private=frozenset({"127.0.0.0/8"}))
    assert canary[1]


def test_a_listed_place_may_be_asked(settings: Settings) -> None:
    listed = ["git.internal", "10.1.2.0/24", "[fd00::7]"]
    for address in ("https://git.internal/a", "https://10.1.2.3/a", "https://[fd00::7]/a", "https://GIT.internal/a"):
        check_place(address, private=listed)
    for address in ("https://10.1.3.1/a", "https://www.git.internal/a", "https://127.0.0.1/a"):
        with pytest.raises(BadAddress, match="DEPLOYNAUT_PRIVATE_REPOSITORIES"):
            check_place(address, private=listed)


@pytest.mark.parametrize("address", ["https://github.com/acme/site.git", "git@10.0.0.1:a/b.git", "/srv/demo/site.git"])
def test_public_places_ssh_and_the_demos_own_paths_are_left_alone(address: str) -> None:
    check_place(address)


def test_a_name_that_nobody_knows_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    monkeypatch.setattr(places, "system_resolver", unknown)
    with pytest.raises(RepositoryUnreachable, match="cannot be resolved"):
        fetch(tmp_path, "https://git.acme.example/site.git")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_the_person_reads_what_to_write(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"fatal: unable to access 'https://git.acme.example/site/': The requested URL returned error: {status}"
    access = Access("https://git.acme.example/site")
    error = explain(GitFailed("git fetch ended with status 128", errors=said), access=access)
    assert "nobody is followed there unseen" in str(error) and ".git at its end" in str(error)
    monkeypatch.setattr(places, "system_resolver", lambda host, port: ["8.8.8.8"])
    with transport(access, private=Path("unused")) as environment:
        names = [value for name, value in environment.items() if name.startswith("GIT_CONFIG_KEY_")]
        values = [value for name, value in environment.items() if name.startswith("GIT_CONFIG_VALUE_")]
    given = dict(zip(names, values, strict=True))
    assert given["http.followRedirects"] == "false"
    assert given["http.curloptResolve"] == "git.acme.example:443:8.8.8.8"
