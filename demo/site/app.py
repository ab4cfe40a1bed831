"""The council's news site: a WSGI application in plain Python.

It serves from one release directory alone, which is read once when it is created: a request never sees half of
another release. The content is one SQLite file beside the releases, `shared/content.sqlite3`.
"""

from __future__ import annotations

import html
import sqlite3
import string
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

LONGEST_FORM = 64 * 1024


class Answer(NamedTuple):
    """What a page function gives back; `body` is the whole document."""

    body: str
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    path: str
    query: dict[str, str]
    form: dict[str, str]


def create(release: Path) -> Site:
    """The application of the release laid out in `release` (absolute, links resolved)."""
    return Site(release=release, database=release.parent.parent / "shared" / "content.sqlite3")


class Site:
    """One release, ready to answer. Safe to call from several threads: it opens a connection for each request."""

    def __init__(self, *, release: Path, database: Path) -> None:
        self.database = database
        self.version = (release / "VERSION").read_text(encoding="utf-8").strip()
        self.style = (release / "static" / "site.css").read_text(encoding="utf-8")
        self.release = _release_line(release)
        self.templates = {
            path.stem: string.Template(path.read_text(encoding="utf-8"))
            for path in (release / "templates").glob("*.html")
        }
        self.pages: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/"): self.front,
            ("GET", "/news"): self.news,
            ("GET", "/search"): self.search,
            ("GET", "/about"): self.about,
            ("GET", "/edit"): self.editor,
            ("POST", "/edit"): self.add,
            ("GET", "/static/site.css"): self.stylesheet,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self.answer(environ)
        body = answer.body.encode()
        headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", **dict(answer.headers)}
        start_response(answer.status, [*headers.items(), ("Content-Length", str(len(body)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def answer(self, environ: WSGIEnvironment) -> Answer:
        method = "GET" if environ["REQUEST_METHOD"] == "HEAD" else environ["REQUEST_METHOD"]
        page = self.pages.get((method, environ.get("PATH_INFO", "/").rstrip("/") or "/"), self.item)
        try:
            return page(_request(environ))
        except Exception as error:  # a visitor gets a page whatever happens; the smoke tests see the 500
            return self.broken(error)

    # pages

    def front(self, request: Request) -> Answer:
        return self.page("front", title="News from the valley", news=self.listing(self.latest(limit=5)))

    def news(self, request: Request) -> Answer:
        return self.page("news", title="All news", news=self.listing(self.latest(limit=500)))

    def item(self, request: Request) -> Answer:
        row = self.one(request.path.removeprefix("/news/")) if request.path.startswith("/news/") else None
        if row is None:
            return self.missing()
        facts = f"{row['published']} · {row['author']}"
        return self.page("item", title=row["title"], facts=facts, body=row["body"])

    def search(self, request: Request) -> Answer:
        words = request.query.get("q", "").strip()
        found = self.find(words) if words else []
        return self.page("search", title="Search", words=words, news=self.listing(found), outcome=outcome(words, found))

    def about(self, request: Request) -> Answer:
        return self.page("about", title="About this site")

    def editor(self, request: Request, *, problem: str = "") -> Answer:
        return self.page("edit", title="Add a news item", problem=problem)

    def add(self, request: Request) -> Answer:
        title, body = request.form.get("title", "").strip(), request.form.get("body", "").strip()
        if not title or not body:
            return self.editor(request, problem="A news item needs a title and a text.")
        author = request.form.get("author", "").strip() or "The editors"
        number = self.write(title=title, body=body, author=author)
        return Answer("", status="303 See Other", headers=(("Location", f"/news/{number}"),))

    def stylesheet(self, request: Request) -> Answer:
        return Answer(self.style, headers=(("Content-Type", "text/css; charset=utf-8"),))

    def missing(self) -> Answer:
        page = self.page("message", title="Page not found", text="There is no page at this address.")
        return page._replace(status="404 Not Found")

    def broken(self, error: Exception) -> Answer:
        text = f"Something went wrong here ({type(error).__name__}: {error})."
        page = self.page("message", title="This page is broken", text=text)
        return page._replace(status="500 Internal Server Error")

    # the content

    def latest(self, *, limit: int) -> list[sqlite3.Row]:
        return self.rows("SELECT * FROM news ORDER BY published DESC, id DESC LIMIT ?", limit)

    def one(self, number: str) -> sqlite3.Row | None:
        rows = self.rows("SELECT * FROM news WHERE id = ?", number)
        return rows[0] if rows else None

    def find(self, words: str) -> list[sqlite3.Row]:
        pattern = f"%{words}%"
        return self.rows("SELECT * FROM news WHERE title LIKE ? ORDER BY published DESC, id DESC", pattern)

    def write(self, *, title: str, body: str, author: str) -> int:
        statement = "INSERT INTO news (title, body, author, published) VALUES (?, ?, ?, ?)"
        with self.content() as content, content:
            return content.execute(statement, (title, body, author, date.today().isoformat())).lastrowid or 0

    def rows(self, statement: str, *values: object) -> list[sqlite3.Row]:
        with self.content() as content:
            return content.execute(statement, values).fetchall()

    @contextmanager
    def content(self) -> Iterator[sqlite3.Connection]:
        """The content database; it must be there already (migrate.py makes it)."""
        connection = sqlite3.connect(f"{self.database.as_uri()}?mode=rw", uri=True, timeout=5)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    # filling templates

    def page(self, name: str, *, title: str, news: str = "", **values: str) -> Answer:
        """The template `name` inside the frame; every value is escaped, `news` is made of escaped parts."""
        safe = {key: html.escape(value) for key, value in {"title": title, **values}.items()}
        inside = self.templates[name].substitute(safe, news=news, version=html.escape(self.version))
        frame = self.templates["frame"]
        return Answer(frame.substitute(safe, content=inside, version=self.version, release=html.escape(self.release)))

    def listing(self, rows: Iterable[sqlite3.Row]) -> str:
        return "\n".join(self.templates["entry"].substitute(_escaped(row)) for row in rows)


def outcome(words: str, found: list[sqlite3.Row]) -> str:
    """What the search page says above its results."""
    return "" if found or not words else "Nothing was found."


def _escaped(row: sqlite3.Row) -> dict[str, str]:
    return {key: html.escape(str(value)) for key, value in dict(row).items()}


def _request(environ: WSGIEnvironment) -> Request:
    length = min(int(environ.get("CONTENT_LENGTH") or 0), LONGEST_FORM)
    form = environ["wsgi.input"].read(length).decode(errors="replace") if length else ""
    return Request(path=environ.get("PATH_INFO", "/"), query=_first(environ.get("QUERY_STRING", "")), form=_first(form))


def _first(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _release_line(release: Path) -> str:
    """`release 42 · 44718c9` when Deploynaut laid this release out, else nothing."""
    try:
        number, commit = (release / ".deploynaut-release").read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        return ""
    return f"release {number} · {commit[:7]}"
