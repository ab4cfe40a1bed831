"""Commands arrive word for word, fail when a part fails, and never show a secret."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploynaut.engine.shell import BadWord, Command, Secret, command, encode, quote, script

SHELLS = ("dash", "bash")
WORDS = st.lists(st.binary(max_size=40).map(lambda word: word.replace(b"\0", b"")), min_size=1, max_size=60)


def run(shell: str, what: Command, *, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([shell, "-c", encode(what.render())], input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS)
def test_any_bytes_arrive_as_they_were(shell: str, words: list[bytes]) -> None:
    done = run(shell, command("printf", "%s\\0", *words))
    assert done.stdout == b"".join(word + b"\0" for word in words)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=60, deadline=None)
@given(words=WORDS)
def test_arguments_of_a_script_are_never_read_as_script(shell: str, words: list[bytes]) -> None:
    done = run(shell, script('printf "%s\\0" "$@"', *words))
    assert done.stdout == b"".join(word + b"\0" for word in words)


@settings(max_examples=100, deadline=None)
@given(words=WORDS)
def test_what_every_shell_reads_back_is_one_word(words: list[bytes]) -> None:
    text = " ".join(quote(word) for word in words)
    read_by = [
        subprocess.run([shell, "-c", encode(f"set -- {text}; echo $#")], capture_output=True) for shell in SHELLS
    ]
    assert {done.stdout.strip() for done in read_by} == {str(len(words)).encode()}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("word", ["if", "while", "A=b", "~", "*", "$(id)", "`id`", "!", "{", "done", "a b"])
def test_a_first_word_is_a_program_and_nothing_else(shell: str, word: str) -> None:
    done = run(shell, command(word, "x"))
    assert done.returncode in (126, 127)
    assert done.stdout == b""


@pytest.mark.parametrize("word", ["a\0b", b"a\0b", Secret("a\0b"), Path("a\0b")])
def test_a_word_with_nul_is_refused(word: str | bytes | Secret | Path) -> None:
    with pytest.raises(BadWord, match="NUL"):
        command("echo", word)


@pytest.mark.parametrize("words", [(), ("",), ("-n", "x"), (b"-n",)])
def test_a_command_without_a_program_is_refused(words: tuple[str | bytes, ...]) -> None:
    with pytest.raises(BadWord):
        command(*words)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("statuses", "expected"),
    [((0, 0), 0), ((3, 0), 3), ((0, 4), 4), ((3, 4), 4), ((0, 5, 0), 5), ((1, 2, 0), 2), ((0, 0, 0, 9), 9)],
)
def test_a_pipe_fails_when_any_part_fails(shell: str, statuses: tuple[int, ...], expected: int) -> None:
    first, *rest = (script('cat; exit "$1"', str(status)) for status in statuses)
    piped = first
    for part in rest:
        piped = piped.pipe(part)
    done = run(shell, piped, stdin=b"through")
    assert (done.returncode, done.stdout) == (expected, b"through")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_part_of_a_pipe_that_is_killed_makes_it_fail(shell: str) -> None:
    assert run(shell, script("kill -9 $$").pipe(command("cat"))).returncode == 137


@pytest.mark.parametrize("shell", SHELLS)
def test_a_pipe_carries_input_and_errors(shell: str) -> None:
    noisy = script("cat; echo oh >&2")
    done = run(shell, command("cat").pipe(noisy).then(command("echo", "and on")), stdin=b"in ")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"in and on\n", b"oh\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_what_follows_runs_only_after_success(shell: str) -> None:
    done = run(shell, command("false").then(command("echo", "never")))
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_directory_is_for_its_own_command(shell: str, tmp_path: Path) -> None:
    odd = tmp_path / "- $(id) 'dir'"
    odd.mkdir()
    done = run(shell, command("pwd").in_directory(odd).then(command("pwd")))
    assert done.stdout.decode().splitlines() == [str(odd), str(Path.cwd())]


def test_a_directory_called_dash_is_no_way_back() -> None:
    assert "cd -- ./-" in command("pwd").in_directory("-").render()


@pytest.mark.parametrize("shell", SHELLS)
def test_an_environment_is_for_its_own_command(shell: str) -> None:
    what = script('printf %s "$WHO"').with_environment(WHO=Secret("it's me")).then(script('printf "<%s>" "${WHO:-}"'))
    assert run(shell, what).stdout == b"it's me<>"


def test_a_variable_needs_a_plain_name() -> None:
    with pytest.raises(BadWord, match="environment variable"):
        command("true").with_environment(**{"A; id": "x"})


def test_secrets_are_stars_wherever_a_command_is_shown() -> None:
    secret = Secret("hunter2")
    what = command("mysql", secret).pipe(command("cat")).in_directory("/tmp").with_environment(PASSWORD=secret)
    assert "hunter2" not in f"{what} {what!r} {secret} {secret!r} {[secret]}"
    assert what.render().count("hunter2") == 2


def test_a_pipe_is_shown_as_people_write_it() -> None:
    assert str(command("mariadb-dump", "acme").pipe(command("zstd", "-3"))) == "mariadb-dump acme | zstd -3"
