"""Copy the front end's libraries from their npm packages into the repository (maintainers only; needs npm).

    python scripts/vendor.py                    install the packages in a temporary folder, then copy
    python scripts/vendor.py --from FOLDER      copy from a folder that holds node_modules

Each folder gets a MANIFEST.json with package, version, licence and sha256 of each file; tests/house/test_vendor.py
compares. To take a newer version, change PACKAGES, run this, run the browser tests, and write the CHANGELOG.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "deploynaut" / "web" / "static" / "vendor"
TESTS = ROOT / "tests" / "vendor"

PACKAGES = {
    "htmx.org": "4.0.1",
    "@tabler/core": "1.6.1",
    "@tabler/icons": "3.51.0",
    "@github/relative-time-element": "5.3.1",
    "axe-core": "4.14.1",
}
FILES = (
    # package, file in it, folder here, name here
    ("htmx.org", "dist/htmx.min.js", WEB, "htmx.min.js"),
    ("htmx.org", "dist/ext/hx-sse.min.js", WEB, "hx-sse.min.js"),
    ("htmx.org", "LICENSE", WEB, "htmx.LICENSE.txt"),
    ("@tabler/core", "dist/css/tabler.min.css", WEB, "tabler.min.css"),
    ("@tabler/core", "dist/js/tabler.min.js", WEB, "tabler.min.js"),
    ("@github/relative-time-element", "dist/bundle.js", WEB, "relative-time-element.js"),
    ("@github/relative-time-element", "LICENSE", WEB, "relative-time-element.LICENSE.txt"),
    # @tabler/core names the same author and licence in its files' first lines, and holds no text of it.
    ("@tabler/icons", "LICENSE", WEB, "tabler.LICENSE.txt"),
    ("axe-core", "axe.min.js", TESTS, "axe.min.js"),
    ("axe-core", "LICENSE", TESTS, "axe.LICENSE.txt"),
)
# In the page: <svg class="icon" aria-hidden="true"><use href="{% static 'vendor/icons.svg' %}#rocket"/></svg>
ICONS = """
activity adjustments alert-circle alert-octagon alert-triangle archive arrow-back-up arrow-left arrow-right bell bolt
book box brand-git bug calendar camera chart-bar check checks chevron-down chevron-left chevron-right chevron-up circle
circle-check circle-dashed circle-dot circle-x clipboard clock clock-hour-4 clock-pause cloud code copy database
database-export database-import device-floppy device-mobile dots download edit external-link eye file file-diff
file-text filter fingerprint flag folder git-branch git-commit git-compare git-merge git-pull-request help history home
hourglass info-circle key keyboard link list loader lock lock-open login logout mail menu-2 message message-circle minus
moon network package player-pause player-play player-skip-forward player-stop player-track-next plug plug-connected plus
point progress question-mark refresh rocket rotate rotate-clockwise search send server server-2 server-off settings
shield shield-check shield-lock square square-check sun tag tags terminal terminal-2 test-pipe thumb-down thumb-up tool
tools trash upload user user-check user-circle users versions wall world x
""".split()
SOURCE_MAP = re.compile(rb"\n?(//[#@] sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


@dataclass(frozen=True, slots=True)
class Source:
    """An installed package."""

    folder: Path
    name: str

    @property
    def facts(self) -> dict[str, str]:
        found = json.loads((self.folder / "package.json").read_text(encoding="utf-8"))
        return {"package": self.name, "version": found["version"], "licence": found["license"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, help="a folder that holds node_modules")
    options = parser.parse_args()
    if options.source:
        copy(options.source)
        return
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        copy(Path(folder))


def install(folder: Path) -> None:
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *wanted], cwd=folder, check=True)


def copy(folder: Path) -> None:
    """Write every file and both manifests; what is no longer listed is removed."""
    sources = {name: Source(folder / "node_modules" / name, name) for name in PACKAGES}
    for place in (WEB, TESTS):
        made = dict(_files(sources, place))
        _write(place, made)


def _files(sources: dict[str, Source], place: Path) -> Iterator[tuple[str, tuple[bytes, dict[str, str]]]]:
    for package, path, target, name in FILES:
        if target == place:
            content = SOURCE_MAP.sub(b"", (sources[package].folder / path).read_bytes())
            yield name, (content.rstrip() + b"\n", sources[package].facts)
    if place == WEB:
        icons = sources["@tabler/icons"]
        yield "icons.svg", (_sprite(icons.folder / "icons" / "outline").encode(), icons.facts)


def _sprite(outline: Path) -> str:
    symbols = "\n".join(_symbol(name, (outline / f"{name}.svg").read_text(encoding="utf-8")) for name in ICONS)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}\n</svg>\n'


def _symbol(name: str, svg: str) -> str:
    inside = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    inside = inside[inside.index(">", inside.index("<svg")) + 1 : inside.rindex("</svg>")]
    lines = "".join(line.strip() for line in inside.splitlines())
    drawn = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    return f'<symbol id="{name}" viewBox="0 0 24 24" {drawn}>{lines}</symbol>'


def _write(place: Path, made: dict[str, tuple[bytes, dict[str, str]]]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    manifest = {}
    for name, (content, facts) in sorted(made.items()):
        (place / name).write_bytes(content)
        manifest[name] = {**facts, "sha256": hashlib.sha256(content).hexdigest()}
    (place / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    print(
        f"{place.relative_to(ROOT)}: {len(made)} files, {sum(len(content) for content, _ in made.values()) // 1024} KB"
    )


if __name__ == "__main__":
    main()
