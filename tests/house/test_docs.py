"""Every name that people type or read has its heading, and no link in the documents leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploynaut.engine.pipeline import spec
from deploynaut.engine.pipeline.parts import Told
from deploynaut.engine.pipeline.state import Mark, Status, StepStatus
from deploynaut.engine.pipeline.values import PLACEHOLDERS
from deploynaut.engine.recipes import RECIPES
from deploynaut.engine.steps import STEPS
from tests.house.tree import ROOT, named, project_files, python_files

REFERENCE = ROOT / "docs" / "reference"


def headings(page: str) -> set[str]:
    """The names in back-ticks of a reference page's headings."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    return {name for line in lines if line.startswith("## ") for name in re.findall(r"`([^`]+)`", line)}


def environment_variables() -> set[str]:
    """Those that the program itself reads; what tests and the supervisor hand over is no setting."""
    asked = re.compile(r"(?:env\.\w+|environ\.get|getenv)\(\s*\"(DEPLOYNAUT_\w+)\"")
    return {name for path in python_files("deploynaut") for name in asked.findall(path.read_text(encoding="utf-8"))}


def management_commands() -> set[str]:
    found = (ROOT / "deploynaut").glob("*/management/commands/*.py")
    return {f"manage.py {path.stem}" for path in found if not path.stem.startswith("_")}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("steps.md", set(spec.KINDS) | set(STEPS)),
        ("statuses.md", {str(status) for status in Status} | {"pending", "stopped", "skipped"}),
        ("recipes.md", set(RECIPES)),
        ("settings.md", environment_variables()),
        ("commands.md", management_commands() | {"./run", "./test"}),
        ("pipeline.md", set(spec.File.model_fields)),
    ],
)
def test_every_name_has_its_heading_and_every_heading_its_name(page: str, names: set[str]) -> None:
    assert names
    assert headings(page) == names


def test_every_tile_and_mark_is_explained() -> None:
    steps, statuses = ((REFERENCE / page).read_text(encoding="utf-8") for page in ("steps.md", "statuses.md"))
    assert not [mark.word for mark in Mark if f"| `{mark.word}` |" not in steps]
    assert not [status for status in StepStatus if f"`{status}`" not in statuses]


@pytest.mark.parametrize("kind", spec.KINDS)
def test_every_setting_of_a_step_is_in_its_table(kind: str) -> None:
    text = (REFERENCE / "steps.md").read_text(encoding="utf-8")
    section = text.partition(f"## `{kind}`\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(spec.KINDS[kind].model_fields)


def test_every_key_of_a_smoke_test_is_in_its_table() -> None:
    text = (REFERENCE / "pipeline.md").read_text(encoding="utf-8")
    section = text.partition("## `smoke_tests`\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(spec.TestSpec.model_fields)


def test_every_message_and_placeholder_of_the_file_is_in_its_section() -> None:
    text = (REFERENCE / "pipeline.md").read_text(encoding="utf-8")
    section = text.partition("## `messages`\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert named == {str(told) for told in Told} | set(spec.Text.model_fields)
    assert set(re.findall(r"`<([a-z-]+)>`", section)) == set(PLACEHOLDERS)


def test_the_pipeline_of_the_reference_is_one() -> None:
    text = (REFERENCE / "pipeline.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert spec.parse(example, production=False).keep_releases == 5


def documents() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", documents(), ids=named)
def test_no_link_leads_nowhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "mailto:"))]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert not missing, f"{named(page)} links to {missing}"


def test_the_reference_lists_all_its_pages() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (REFERENCE / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in REFERENCE.glob("*.md")} - {"README.md"}
