"""What only an environment can tell about a pipeline file: who may approve there, and which hosts tests may ask."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from deploynaut.engine.pipeline import SpecError, parse

PEOPLE: Mapping[str, frozenset[int]] = {
    "deployment-managers": frozenset({1, 2}),
    "instance-managers": frozenset({3}),
    "mia@acme.example": frozenset({1}),
    "ida@acme.example": frozenset({3}),
}


def problems(ask: str, people: Mapping[str, frozenset[int]] = PEOPLE) -> list[str]:
    text = f"steps:\n  - approval: {{ask: {ask}}}\n"
    try:
        parse(
            text,
            production=True,
            name="prod.yml",
            may_approve=lambda entry: entry in people,
            approvers=lambda entry: people.get(entry, frozenset()),
        )
    except SpecError as refused:
        return refused.problems
    return []


@pytest.mark.parametrize(
    "ask",
    [
        "[[deployment-managers]]",
        "[[deployment-managers], [instance-managers]]",
        "[[mia@acme.example], [ida@acme.example]]",
        "[[mia@acme.example, ida@acme.example]]",
        "[[mia@acme.example], [deployment-managers]]",
    ],
)
def test_two_people_who_may_approve_are_enough(ask: str) -> None:
    assert problems(ask) == []


def test_an_entry_that_may_not_approve_here_is_refused_at_its_place() -> None:
    (problem,) = problems("[[deployment-managers], [ida@acme.example, rob@acme.example]]")
    assert problem.startswith("prod.yml:2:64: steps.0.approval.ask.1.1: rob@acme.example may not approve here")


@pytest.mark.parametrize(
    "ask", ["[[mia@acme.example]]", "[[instance-managers]]", "[[ida@acme.example], [instance-managers]]"]
)
def test_nobody_but_one_person_is_too_few(ask: str) -> None:
    (problem,) = problems(ask)
    assert problem.startswith("prod.yml:2:16: steps.0.approval.ask: nobody but one person could approve")


def test_a_role_that_nobody_has_is_nobody() -> None:
    (problem,) = problems("[[deployment-managers]]", {"deployment-managers": frozenset()})
    assert "nobody but one person" in problem


def test_the_default_is_asked_wherever_it_is() -> None:
    assert parse("", production=True, may_approve=lambda entry: False).kinds[0] == "approval"


def test_without_the_people_one_address_alone_is_too_few() -> None:
    text = "steps: [{approval: {ask: [[mia@acme.example], [MIA@acme.example]]}}]"
    with pytest.raises(SpecError, match="nobody but one person"):
        parse(text, production=True, may_approve=lambda entry: True)


# --- hosts -----------------------------------------------------------------------------------------------------------

HOSTS = frozenset({"www.acme.example", "SSO.acme.example.", "10.1.2.0/24", "192.168.7.7", "2001:db8::/48"})


def refusal(url: str, hosts: frozenset[str] = HOSTS) -> str:
    try:
        parse(f"smoke_tests:\n  home:\n    url: '{url}'\n", production=False, name="uat.yml", hosts=hosts)
    except SpecError as refused:
        (problem,) = refused.problems
        assert problem.startswith("uat.yml:3:5: smoke_tests.home.url: ")
        return problem
    return ""


@pytest.mark.parametrize(
    "url",
    [
        "https://www.acme.example/",
        "https://WWW.acme.example./a?b=c#d",
        "http://www.acme.example:8080/",
        "https://sso.acme.example/",
        "http://10.1.2.3/",
        "http://0xa010203/",
        "http://[::ffff:10.1.2.3]/",
        "http://192.168.7.7:81",
        "http://[2001:db8::1]/",
    ],
)
def test_the_hosts_of_the_environment_are_asked(url: str) -> None:
    assert refusal(url) == ""


@pytest.mark.parametrize(
    "url",
    ["https://acme.example/", "https://www.acme.example.evil.example/", "https://evil.example/", "http://8.8.8.8/"],
)
def test_no_other_host_is_asked(url: str) -> None:
    assert "is not a host of this environment; its settings list" in refusal(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1/", "this machine"),
        ("http://127.1/", "this machine"),
        ("http://2130706433/", "this machine"),
        ("http://0x7f000001/", "this machine"),
        ("http://0x7f.1/", "this machine"),
        ("http://0177.0.0.1/", "this machine"),
        ("http://017700000001/", "this machine"),
        ("http://[::1]/", "this machine"),
        ("http://[::ffff:127.0.0.1]/", "this machine"),
        ("http://[::ffff:7f00:1]/", "this machine"),
        ("http://[64:ff9b::7f00:1]/", "this machine"),
        ("http://[2002:7f00:1::]/", "this machine"),
        ("http://localhost/", "this machine"),
        ("http://LOCALHOST./", "this machine"),
        ("http://a.localhost:8000/", "this machine"),
        ("http://10.0.0.1/", "a private address"),
        ("http://10.1.3.1/", "a private address"),
        ("http://172.16.0.1/", "a private address"),
        ("http://192.168.1.1/", "a private address"),
        ("http://3232235777/", "a private address"),
        ("http://100.64.0.1/", "a private address"),
        ("http://[fd00::1]/", "a private address"),
        ("http://intranet/", "a name of a private network"),
        ("http://db.internal/", "a name of a private network"),
    ],
)
def test_what_is_private_is_asked_only_when_it_is_listed(url: str, words: str) -> None:
    assert f"and it is {words}" in refusal(url)


NEVER = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1]/",
    "http://100.100.100.200/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0.1.2.3/",
    "http://255.255.255.255/",
    "http://224.0.0.1/",
    "http://[::]/",
]


@pytest.mark.parametrize("url", NEVER)
def test_what_serves_no_site_is_never_asked(url: str) -> None:
    everything = frozenset({"0.0.0.0/0", "::/0", "169.254.169.254", "0.0.0.0"})
    assert "is an address of the machine's own network or cloud" in refusal(url, everything) or (
        "is not an address of a web server" in refusal(url, everything)
    )


def test_nothing_listed_is_nothing_asked() -> None:
    assert refusal("https://www.acme.example/", frozenset())


def test_a_frozen_file_is_read_without_asking_for_hosts() -> None:
    assert parse("smoke_tests: {a: {url: 'http://127.0.0.1:8001/'}}", production=False).smoke_tests["a"].url
