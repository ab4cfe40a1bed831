"""What may name a target, and what never gets as far as a program."""

from __future__ import annotations

import pytest

from deploynaut.engine.connections import BadAddress, Host, check_host, check_path, check_port, check_user, fingerprint
from deploynaut.engine.connections.grammar import check_host_keys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHY94FEctCUNHxvGU4hrXbUlqQpNvxzXiOnMkeugv0vA"
HOSTILE = [
    "", "-oProxyCommand=id", "-x", "a b", "a;id", "$(id)", "`id`", "a\nb", "a\0b", "a\tb", "a'b", 'a"b', "a|b", "a&b",
    "a>b", "a<b", "*", "?", "~", "a\\b", "%h", "{a}", "a\x1b[31m", "\u202eevil", "é\u0301\u0000", "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("address", ["web1.example", "localhost", "10.0.0.7", "2001:db8::1", "a-b.c_d.example", "x"])
def test_hosts_that_are_meant(address: str) -> None:
    assert check_host(address) == address


@pytest.mark.parametrize(
    "address", [*HOSTILE, "web1.", ".a", "a..b", "a-", "user@host", "host:22", "/etc", "fe80::1%eth0"]
)
def test_hosts_that_are_refused(address: str) -> None:
    with pytest.raises(BadAddress, match="no host name"):
        check_host(address)


@pytest.mark.parametrize("user", ["deploy", "www-data", "_site", "a.b"])
def test_users_that_are_meant(user: str) -> None:
    assert check_user(user) == user


@pytest.mark.parametrize("user", [*HOSTILE, "1st", "a@b", "root:root"])
def test_users_that_are_refused(user: str) -> None:
    with pytest.raises(BadAddress, match="no user name"):
        check_user(user)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "22", 22.0])
def test_ports_that_are_refused(port: int) -> None:
    with pytest.raises(BadAddress, match="no port"):
        check_port(port)


@pytest.mark.parametrize("path", ["/sites/acme", "/srv/my site/v1.2+b", "/häuser/āporo", "/a/.hidden", "/x=1,y:2@~"])
def test_paths_that_are_meant(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path", [*HOSTILE, "/", "//", "/a//b", "/a/", "/a/../b", "/..", "/.", "relative", "/a/-b", "/a\n/b"]
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(BadAddress, match="no path"):
        check_path(path)


@pytest.mark.parametrize("path", [f"/sites/{word}" for word in HOSTILE if word and word != "~" and word != "a b"])
def test_paths_with_hostile_parts_are_refused(path: str) -> None:
    with pytest.raises(BadAddress):
        check_path(path)


@pytest.mark.parametrize(
    "line", ["x", "ssh-dss AAAA", "* ssh-ed25519 AAAA", "@revoked * " + KEY, KEY.replace(" ", ""), "# x"]
)
def test_what_is_no_host_key_is_refused(line: str) -> None:
    with pytest.raises(BadAddress, match="no host key"):
        check_host_keys(f"{KEY}\n{line}")


def test_a_host_is_checked_when_it_is_made() -> None:
    assert Host("2001:db8::1", 22, "deploy", KEY).name == "[2001:db8::1]:22"
    for broken in ({"address": "-x"}, {"port": 0}, {"user": "-l"}, {"host_key": "no"}):
        values = {"address": "web1.example", "port": 22, "user": "deploy", "host_key": KEY, **broken}
        with pytest.raises(BadAddress):
            Host(**values)  # type: ignore[arg-type]


def test_a_fingerprint_is_of_a_key_only() -> None:
    assert fingerprint(KEY).startswith("SHA256:")
    for line in ("", "ssh-ed25519", "ssh-ed25519 !!!"):
        with pytest.raises(BadAddress):
            fingerprint(line)
