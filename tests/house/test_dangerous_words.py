"""Words that must not be in this project, whoever wrote them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, calls, dotted, named, project_files, python_files

OURS = ("deploynaut", "demo", "scripts")
BANNED_CALLS = {
    "os.system": "a shell reads its argument: build a Command",
    "os.popen": "a shell reads its argument: build a Command",
    "subprocess.getoutput": "a shell reads its argument: build a Command",
    "subprocess.getstatusoutput": "a shell reads its argument: build a Command",
    "asyncio.create_subprocess_shell": "a shell reads its argument: build a Command",
    "eval": "runs data as a program",
    "exec": "runs data as a program",
    "pickle.load": "runs data as a program",
    "pickle.loads": "runs data as a program",
    "marshal.loads": "runs data as a program",
    "shelve.open": "is pickle inside",
    "yaml.load": "makes any object: ruamel.yaml's safe reader is there",
    "yaml.unsafe_load": "makes any object",
    "tempfile.mktemp": "somebody else may take the name first",
    "mark_safe": "escapes nothing: let a template do it",
    "django.utils.safestring.mark_safe": "escapes nothing: let a template do it",
}
BANNED_TEXTS = {
    r"StrictHostKeyChecking\s*[= ]\s*(no|off|accept-new)": "host keys are pinned; there is no switch",
    r"UserKnownHostsFile\s*[= ]\s*/dev/null": "host keys are pinned; there is no switch",
    r"AutoAddPolicy|WarningPolicy": "host keys are pinned; there is no switch",
    r"verify\s*=\s*False|CERT_NONE|_create_unverified_context": "TLS is verified unless a smoke test's row says else",
    r"GIT_SSL_NO_VERIFY|http\.sslVerify\s*=?\s*false": "TLS is verified",
    r"\|\s*safe\b|autoescape\s+off": "what people typed is escaped",
    r"csrf_exempt": "only a signed webhook has no token; say so here when it comes",
}
# A fixed script of ours may be given to a shell, here alone; data reach it as arguments or on stdin.
SHELL_ROOMS = ("deploynaut/engine/connections/", "deploynaut/engine/shell.py")
# file -> the banned text that it holds on purpose, and why
EXCUSED: dict[str, set[str]] = {
    "deploynaut/engine/smoke_tests/web.py": {"TLS is verified unless a smoke test's row says else"},
}


@pytest.mark.parametrize("path", python_files(*OURS), ids=named)
def test_no_dangerous_call(path: Path) -> None:
    found = [
        f"{named(path)}:{call.lineno}: {name} {BANNED_CALLS[name]}"
        for call, name in calls(path)
        if name in BANNED_CALLS and not _ours(call, name)
    ]
    found += [
        f"{named(path)}:{call.lineno}: shell=True lets a shell read data: build a Command"
        for call, _ in calls(path)
        if any(word.arg == "shell" and not _is(word.value, False) for word in call.keywords)
    ]
    assert not found, "\n".join(found)


def _ours(call: ast.Call, name: str) -> bool:
    """mark_safe of a text that stands there, or in a table of constants."""
    if not name.endswith("mark_safe") or len(call.args) != 1:
        return False
    text = call.args[0]
    return isinstance(text, ast.Constant) or (isinstance(text, ast.Subscript) and dotted(text.value).isupper())


@pytest.mark.parametrize("path", python_files(*OURS), ids=named)
def test_a_shell_is_started_by_connections_alone_or_given_a_rendered_command(path: Path) -> None:
    if named(path).startswith(SHELL_ROOMS):
        return
    found = [f"{named(path)}:{line}: starts a shell" for line in _shells(path)]
    assert not found, "\n".join(found)


def _shells(path: Path) -> list[int]:
    """Lines with a list or call that begins with sh and -c, where what follows is not a Command's own rendering."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        words = node.elts if isinstance(node, ast.List | ast.Tuple) else node.args if isinstance(node, ast.Call) else []
        if _starts_a_shell(words) and not _rendered(words[2:]):
            lines.append(getattr(node, "lineno", 0))
    return lines


def _starts_a_shell(words: list[ast.expr]) -> bool:
    texts = [word.value for word in words[:2] if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return len(texts) == 2 and texts[0].rpartition("/")[2] in {"sh", "bash", "dash"} and texts[1].startswith("-")


def _rendered(words: list[ast.expr]) -> bool:
    return len(words) == 1 and isinstance(words[0], ast.Call) and dotted(words[0].func).endswith(".render")


def test_no_dangerous_text() -> None:
    found = []
    for path in _texts():
        content = path.read_text(encoding="utf-8", errors="replace")
        excused = EXCUSED.get(named(path), set())
        found += [
            f"{named(path)}: {match.group(0)!r}: {why}"
            for pattern, why in BANNED_TEXTS.items()
            if why not in excused and (match := re.search(pattern, content))
        ]
    assert not found, "\n".join(found)


def _texts() -> list[Path]:
    return [
        path
        for path in project_files()
        if path.is_relative_to(ROOT / "deploynaut") or path.is_relative_to(ROOT / "demo") or path.parent == ROOT
        if path.suffix in {".py", ".html", ".txt", ".toml", ".sh", ""} and "vendor" not in path.parts
    ]


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
