"""Which addresses, commit ids and names of branches and tags are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploynaut.engine.repository import (
    BadAddress,
    BadRevision,
    account_of,
    check_address,
    check_commit,
    check_ref,
    host_of,
    is_local,
    uses_ssh,
)

GOOD = {
    "git@github.com:acme/site.git": "github.com",
    "git@gitlab.acme.example:group/sub/site.git": "gitlab.acme.example",
    "deploy@192.0.2.7:/srv/git/site.git": "192.0.2.7",
    "ssh://git@git.acme.example/site.git": "git.acme.example",
    "ssh://git@git.acme.example:7999/~ana/site.git": "git.acme.example",
    "ssh://git@[2001:db8::1]:22/site": "[2001:db8::1]",
    "https://github.com/acme/site.git": "github.com",
    "https://Git.Acme.example:8443/acme/my_site": "git.acme.example",
    "git@ssh.dev.azure.com:v3/acme/My%20Project/site": "ssh.dev.azure.com",
}


@pytest.mark.parametrize("address", GOOD)
def test_an_ordinary_address_is_taken_as_it_is(address: str) -> None:
    assert check_address(address, allow_local_below=None) == address
    assert host_of(address) == GOOD[address]
    assert uses_ssh(address) != address.startswith("https")


def test_the_account_is_named_for_whoever_enables_the_key() -> None:
    assert account_of("git@github.com:acme/site.git") == "git@github.com"
    assert account_of("ssh://git@git.acme.example:7999/site") == "git@git.acme.example:7999"


def test_a_path_is_taken_only_below_the_allowed_folder(tmp_path: Path) -> None:
    allowed = tmp_path / "demo"
    (allowed / "site.git").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (allowed / "out").symlink_to(tmp_path / "secret")
    taken = check_address(str(allowed / "site.git"), allow_local_below=allowed)
    assert taken == str(allowed / "site.git")
    assert is_local(taken)
    assert check_address(f"file://{allowed}/site.git", allow_local_below=allowed) == taken
    for outside in (tmp_path / "secret", allowed / "../secret", allowed / "out", tmp_path, f"{allowed}-other"):
        with pytest.raises(BadAddress):
            check_address(str(outside), allow_local_below=allowed)
    with pytest.raises(BadAddress):
        check_address(str(allowed / "site.git"), allow_local_below=None)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "empty"),
        ("git@github.com:acme/site.git\n", "control character"),
        ("https://ana:secret@github.com/acme/site", "no user or password"),
        ("ext::sh -c date", "space"),
        ("ext::date", "remote helpers"),
        ("git://github.com/acme/site", "only ssh and https"),
        ("github.com/acme/site", "no user and host"),
        ("-oProxyCommand=date", "begins with a dash"),
        ("git@github.com:../../etc", "`..`"),
        ("x" * 501, "501 characters"),
    ],
)
def test_a_refused_address_says_why(address: str, reason: str) -> None:
    with pytest.raises(BadAddress, match=reason):
        check_address(address, allow_local_below=None)


@pytest.mark.parametrize(
    "name", ["main", "feature/search", "1.2.0", "release-1", "a%b", "it's", "<script>", "a$(id)", "grün", "x" * 255]
)
def test_an_ordinary_name_is_taken(name: str) -> None:
    assert check_ref(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("-x", "dash"),
        ("--upload-pack=touch x", "a space"),
        ("a..b", r"\.\."),
        ("../../x", r"\.\."),
        ("@{-1}", "@{"),
        ("abc^{/x}", r"\^"),
        ("a b", "a space"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("a\x7fb", "control"),
        ("a:b", ":"),
        ("HEAD", "for itself"),
        ("@", "for itself"),
        ("/a", "slash"),
        ("a/", "slash"),
        ("a.", "dot"),
        ("a/.b", "dot"),
        ("a.lock", "lock"),
        ("a\u202eb", "cannot be shown"),
        ("x" * 256, "255 bytes"),
        ("ü" * 128, "255 bytes"),
        ("x" * 10_000, "255 bytes"),
    ],
)
def test_a_refused_name_says_why(name: str, reason: str) -> None:
    with pytest.raises(BadRevision, match=reason):
        check_ref(name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * 39, "this has 39"),
        ("a" * 41, "this has 41"),
        ("A" * 40, "lower case"),
        ("g" * 40, "0-9 and a-f"),
        ("", "0-9 and a-f"),
        ("HEAD", "0-9 and a-f"),
        ("a" * 39 + "\n", "0-9 and a-f"),
        ("a" * 40 + "\0", "0-9 and a-f"),
        ("--output=x", "0-9 and a-f"),
    ],
)
def test_only_a_full_lower_case_id_is_a_commit_id(text: str, reason: str) -> None:
    with pytest.raises(BadRevision, match=reason):
        check_commit(text)


@pytest.mark.parametrize("text", ["a" * 40, "0" * 64])
def test_a_full_id_is_taken(text: str) -> None:
    assert check_commit(text) == text
