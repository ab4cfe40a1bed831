"""The demo repository's history as values: who committed what, when, on which branch, and which tags there are.

Each commit starts from its parent's files; `files` are whole new files, `edits` replace one text by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
START = datetime(2026, 8, 3, 21, 12, tzinfo=UTC)

ANA = "Ana Reid <ana@kereru-valley.example>"
BEN = "Ben Tama <ben@kereru-valley.example>"
CAROL = "Carol Hīnau <carol@kereru-valley.example>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """In the file `path`, the text `old` (there exactly once) becomes `new`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit on `branch`; `start` names the commit (by tag or branch) that a new branch begins at."""

    branch: str
    author: str
    message: str
    day: int
    start: str = ""
    files: tuple[tuple[str, Path], ...] = ()
    edits: tuple[Edit, ...] = ()
    tag: str = ""
    tag_message: str = ""

    @property
    def at(self) -> datetime:
        return START + timedelta(days=self.day, minutes=37 * self.day % 400)


def site_files() -> dict[str, bytes]:
    """The first commit's tree: everything below `demo/site`."""
    root = HERE / "site"
    found = sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _version(old: str, new: str) -> Edit:
    return Edit(path="VERSION", old=old, new=new)


def _migration(name: str) -> tuple[tuple[str, Path], ...]:
    return ((f"migrations/{name}.py", HERE / "later" / f"{name}.py"),)


_FIND_TITLES = "WHERE title LIKE ? ORDER"
_FIND_TEXT = "WHERE title || ' ' || body LIKE ? ORDER"
_ADVISED = 'return (f"{len(found)} found." if found else "Nothing found. Try one word.") if words else ""'
_NOTHING = 'return "" if found or not words else "Nothing was found."'
_COUNTED = 'return f"{len(found)} found." if words else ""'

HISTORY = (
    Commit(branch="main", author=ANA, day=0, message="Start the site: news, search, about and an editor's form"),
    Commit(branch="main", author=BEN, day=2, message="Say who to call on the about page", edits=(
        Edit(path="templates/about.html", old="small database.</p>",
             new="small database.</p>\n<p>Questions? Call the council on weekdays between nine and five.</p>"),)),
    Commit(branch="main", author=ANA, day=3, message="Keep lines short enough to read", edits=(
        Edit(path="static/site.css", old=".news { list-style", new=".body { max-width: 38rem; }\n.news { list-style"),
    )),
    Commit(branch="main", author=ANA, day=4, message="Version 1.0", edits=(_version("0.9.0", "1.0.0"),),
           tag="1.0", tag_message="First release."),
    Commit(branch="main", author=CAROL, day=16, message="Add a summary to each news item\n\n"
           "The first sentence of the text, until an editor writes a better one.",
           files=_migration("0002_summaries"), edits=(
        Edit(path="templates/entry.html", old="</h2>", new="</h2><p>$summary</p>"),)),
    Commit(branch="main", author=BEN, day=17, message="Fill the summary of new items", edits=(
        Edit(path="app.py", old="(title, body, author, published) VALUES (?, ?, ?, ?)",
             new="(title, body, author, published, summary) VALUES (?, ?, ?, ?, ?)"),
        Edit(path="app.py", old="(title, body, author, date.today().isoformat())",
             new='(title, body, author, date.today().isoformat(), body.partition(".")[0] + ".")'),)),
    Commit(branch="main", author=ANA, day=18, message="Version 1.1", edits=(_version("1.0.0", "1.1.0"),),
           tag="1.1", tag_message="News items have a summary.\n\nRuns one migration."),
    Commit(branch="1.x", start="1.1", author=BEN, day=25, message="Show dates on a phone without wrapping", edits=(
        Edit(path="static/site.css", old=".lead { font", new=".quiet { overflow-wrap: anywhere; }\n.lead { font"),)),
    Commit(branch="1.x", author=BEN, day=26, message="Version 1.1.1", edits=(_version("1.1.0", "1.1.1"),),
           tag="1.1.1"),
    Commit(branch="main", author=CAROL, day=33, message="Search the text as well as the title", edits=(
        Edit(path="app.py", old=_FIND_TITLES, new=_FIND_TEXT),)),
    Commit(branch="main", author=CAROL, day=34, message="Say how many items a search has found", edits=(
        Edit(path="app.py", old=_NOTHING, new=_COUNTED),)),
    Commit(branch="main", author=ANA, day=37, message="Version 1.2", edits=(_version("1.1.0", "1.2.0"),),
           tag="1.2", tag_message="Search looks at the whole text."),
    Commit(branch="feature/search", start="1.2", author=CAROL, day=44, message="Say what to try when nothing is found",
           edits=(Edit(path="app.py", old=_COUNTED, new=_ADVISED),)),
    Commit(branch="feature/search", author=CAROL, day=45, message="Put the cursor into the search field", edits=(
        Edit(path="templates/search.html", old='type="search"', new='type="search" autofocus'),
        _version("1.2.0", "1.3.0-search"),)),
    Commit(branch="broken/search-500", start="1.2", author=BEN, day=47,
           message="Titles in sentence case, old items archived", files=_migration("0003_sentence_case")),
    Commit(branch="broken/search-500", author=BEN, day=48, message="Order search results by relevance", edits=(
        Edit(path="app.py", old=f"{_FIND_TEXT} BY published DESC", new=f"{_FIND_TEXT} BY relevance DESC"),
        _version("1.2.0", "1.3.0"),)),
    Commit(branch="broken/migration", start="1.2", author=BEN, day=51, message="Give news items a topic",
           files=_migration("0003_topics"), edits=(_version("1.2.0", "1.3.1"),)),
    Commit(branch="slow/migration", start="1.2", author=CAROL, day=53, message="Count the words of each news item",
           files=_migration("0003_word_counts"), edits=(_version("1.2.0", "1.4.0"),)),
    Commit(branch="main", author=ANA, day=54, message="Thank the volunteers on the about page", edits=(
        Edit(path="templates/about.html", old="<p>Questions?",
             new="<p>Thanks to all who send us news.</p>\n<p>Questions?"),)),
    Commit(branch="broken/contact", start="1.2", author=BEN, day=55, message="Shorten the about page", edits=(
        Edit(path="templates/about.html", old="Questions? Call the council on weekdays between nine and five.",
             new="Questions? Come by."),
        _version("1.2.0", "1.4.1"))),
)  # fmt: skip
