"""What is vendored is what its manifest says, and nothing else lies beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = (ROOT / "deploynaut" / "web" / "static" / "vendor", ROOT / "tests" / "vendor")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.parent.name)
def test_every_vendored_file_is_the_one_of_the_manifest(place: Path) -> None:
    manifest = json.loads((place / "MANIFEST.json").read_text(encoding="utf-8"))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
    del found["MANIFEST.json"]
    assert found == {name: facts["sha256"] for name, facts in manifest.items()}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.parent.name)
def test_every_vendored_file_has_a_version_and_a_licence(place: Path) -> None:
    for facts in json.loads((place / "MANIFEST.json").read_text(encoding="utf-8")).values():
        assert facts["package"]
        assert facts["version"]
        assert facts["licence"] in {"MIT", "BSD-0-Clause", "0BSD", "MPL-2.0"}


def test_no_vendored_file_asks_for_a_source_map_or_another_host() -> None:
    for place in PLACES:
        for path in place.glob("*.*s"):
            content = path.read_text(encoding="utf-8")
            assert "sourceMappingURL" not in content, path
            assert path.suffix != ".css" or "@import" not in content, path
