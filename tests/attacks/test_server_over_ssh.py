"""RA12-RA15 and RA27 at the real server: raw bytes, hostile forms and broken pages. It says nothing of its inside."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.attacks.corpus import COMMITS, FIELDS, MARKER
from tests.attacks.hostile import Hostile
from tests.attacks.test_repositories import HOSTILE_ADDRESSES
from tests.stage import Person

pytestmark = [pytest.mark.attacks, pytest.mark.timeout(200)]

INSIDE = (
    "Traceback", "/work/", "/site-packages", ".py", "sqlite", "SELECT", "Exception", "Error:", "django",
    "DisallowedHost", "settings", "ALLOWED_HOSTS",
)  # fmt: skip
LONG = b"x" * 1_000_000

RAW: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n",
    "nothing": b"\r\n\r\n\r\n",
    "a method with a NUL": b"G\x00T / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a strange method": b"BREW / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "no version": b"GET /login/\r\n\r\n",
    "a version of its own": b"GET / HTTP/9.9\r\nHost: {host}\r\n\r\n",
    "no host": b"GET /login/ HTTP/1.1\r\n\r\n",
    "another host": b"GET /login/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "two hosts": b"GET /login/ HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
    "a host with markup": b"GET /login/ HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n",
    "a forwarded host": b"GET /login/ HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: {host}\r\n\r\n",
    "another address": b"GET http://evil.example/login/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a path that is none": b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a static file outside": b"GET /static/../../app.sqlite3 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a static file outside, encoded": b"GET /static/%2e%2e/%2e%2e/keys/master.key HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a long path": b"GET /" + LONG + b" HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a long header": b"GET /login/ HTTP/1.1\r\nHost: {host}\r\nX: " + LONG + b"\r\n\r\n",
    "many headers": b"GET /login/ HTTP/1.1\r\nHost: {host}\r\n" + b"X: y\r\n" * 60_000 + b"\r\n",
    "a header in two lines": b"GET /login/ HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\r\n\r\n",
    "a negative length": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: -5\r\n\r\nhello",
    "a length of words": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: many\r\n\r\nhello",
    "length and pieces": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a piece without a size": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
    "a form too large": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 4000002\r\n\r\na=" + LONG * 4,
    "too many fields": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: 20000\r\n\r\n" + b"a=b&" * 5000,
    "parts without an end": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 30\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: yes",
    "parts without a border": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data\r\n"
    b"Content-Length: 5\r\n\r\nhello",
    "another encoding": b"POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n"
    b"Content-Type: application/x-www-form-urlencoded; charset=utf-99\r\n\r\na=%ff",
    "cookies that are none": b"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: deploynaut=\xff\x00; ;;=\r\n\r\n",
    "a web socket": b"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}  # fmt: skip


def asked(leaky: Hostile, request: bytes) -> bytes:
    """What the server says to these bytes; nothing when it just hangs up."""
    port = leaky.stage.demo.facts()["ports"]["web"]
    answer = b""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as channel:
        channel.settimeout(1.5)
        with suppress(OSError):
            channel.sendall(request.replace(b"{host}", b"127.0.0.1:%d" % port))
        with suppress(OSError):
            while piece := channel.recv(65536):
                answer += piece
                if len(answer) > 2_000_000:
                    break
    return answer


@pytest.mark.parametrize("name", RAW)
def test_bytes_that_are_no_good_request_learn_nothing(leaky: Hostile, name: str) -> None:
    answer = asked(leaky, RAW[name])
    status = re.match(rb"HTTP/1\.1 (\d+)", answer)
    assert not answer or status
    if status:
        assert 200 <= int(status[1]) < 500 and int(status[1]) != 201, answer[:300]
    if ("host" in name and name != "two hosts") or name == "another address":
        assert status and status[1] == b"400"
    # The way to the log-in names what was asked for.
    text = re.sub("location: .*", "", answer.decode("utf-8", "replace"), flags=re.IGNORECASE)
    assert [word for word in INSIDE if word in text] == []
    assert "AGE-SECRET" not in text and "SQLite format" not in text and "<script>alert" not in text
    assert b"HTTP/1.1 200" in asked(leaky, b"GET /login/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")[:20]


@contextmanager
def without_table(leaky: Hostile, table: str) -> Iterator[None]:
    """The product's database lacks a table meanwhile."""
    with closing(sqlite3.connect(leaky.stage.data / "app.sqlite3", timeout=20)) as database:
        database.execute("PRAGMA legacy_alter_table=ON")
        database.execute(f"ALTER TABLE {table} RENAME TO taken_away")
        database.commit()
        try:
            yield
        finally:
            database.execute(f"ALTER TABLE taken_away RENAME TO {table}")
            database.commit()


@pytest.mark.parametrize(
    ("table", "path"),
    [("instances_ref", "/instances/leaky/?show=tags"), ("snapshots_snapshot", "/instances/leaky/uat/1/"),
     ("runs_logchunk", "/instances/leaky/uat/1/log/"), ("notify_message", "/messages/")],
)  # fmt: skip
def test_a_broken_page_shows_a_number_that_is_in_the_servers_log(leaky: Hostile, table: str, path: str) -> None:
    if not leaky.stage.ask("SELECT 1 FROM runs_run WHERE title='leaky/uat #1'"):
        leaky.say()
        leaky.deploy()
    ada = leaky.stage.person("ada")
    with without_table(leaky, table):
        answer = ada.http.get(path)
    assert answer.status_code == 500
    assert [word for word in (*INSIDE, table, "taken_away") if word in answer.text] == []
    incident = re.search(r"\b[0-9a-f]{8}\b", answer.text)
    log = (leaky.stage.data / "web.log").read_text()
    assert incident and f"incident {incident[0]}" in log and table in log
    assert ada.http.get(path).status_code == 200


@pytest.fixture(scope="module")
def ada(leaky: Hostile) -> Person:
    return leaky.stage.person("ada")


@pytest.fixture
def unchanged(leaky: Hostile) -> Iterator[None]:
    """Nothing is begun, made or executed meanwhile."""
    tables = ("instances_instance", "instances_environment", "instances_target", "runs_run", "deployments_deployment")
    sql = " UNION ALL ".join(f"SELECT count(*) FROM {table}" for table in tables)
    Path(MARKER).unlink(missing_ok=True)
    before = leaky.stage.ask(sql)
    yield
    assert leaky.stage.ask(sql) == before
    assert not Path(MARKER).exists()
    assert not list(leaky.host.base.rglob("*attack-marker*"))


@pytest.mark.usefixtures("unchanged")
def test_hostile_commit_ids_are_refused_by_the_real_server(ada: Person) -> None:
    page = ada.get("/instances/leaky/uat/release/")
    for text in COMMITS:
        for by in ("commit", "release"):
            answer = ada.post("/instances/leaky/uat/release/", {"by": by, by: text}, page=page)
            assert answer.status_code == 400, (by, text)
            assert "Nothing was begun" in answer.text


@pytest.mark.usefixtures("unchanged")
def test_hostile_repository_addresses_are_refused_before_a_process_starts(ada: Person, leaky: Hostile) -> None:
    page = ada.get("/instances/new/")
    assert len(HOSTILE_ADDRESSES) >= 40
    for address in HOSTILE_ADDRESSES:
        if address.endswith("\r\n"):  # the space around what is typed does not count
            continue
        fields = {"name": "evil", "title": "Evil", "repository": address}
        answer = ada.post("/instances/new/", fields, page=page)
        assert answer.status_code == 400, address
        assert "Nothing was saved" in answer.text, address
    assert not (leaky.stage.data / "mirrors" / "3").exists()


@pytest.mark.usefixtures("unchanged")
def test_every_twelfth_hostile_text_in_every_field_of_the_real_server(ada: Person) -> None:
    forms = {
        "/instances/new/": {"name": "Fresh!", "title": "Fresh", "repository": "-x"},
        "/instances/leaky/new/": {"name": "Fresh!", "kind": "none", "url": "", "recipe": "plain", "recipe_options": ""},
        "/instances/leaky/uat/targets/add/": {
            "reach": "ssh", "address": "-x", "port": "0", "user": "-u", "base": "x", "page": "x", "web": "on",
        },
    }  # fmt: skip
    page = ada.get("/instances/new/")
    for where, bad in forms.items():
        for field in bad:
            for text in FIELDS[::12]:
                # The other fields are bad, so that no text, however good, makes anything.
                answer = ada.post(where, {**bad, field: text}, page=page)
                assert answer.status_code == 400, (where, field, text)


@pytest.mark.usefixtures("unchanged")
def test_hostile_texts_about_oneself_are_refused_or_stay_text(ada: Person, leaky: Hostile) -> None:
    page = ada.get("/account/")
    named = "SELECT name, phone FROM accounts_user WHERE email='ada@demo.example'"
    for field in ("name", "phone"):
        for text in FIELDS[::3]:
            ada.post("/account/", {"name": "Ada", "phone": "", field: text}, page=page)
            name, phone = leaky.stage.ask(named)[0]
            assert len(name.splitlines()) == 1 and len(name) <= 100, text
            assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff]", name), text
            assert re.fullmatch(r"(\+[0-9]{6,15})?", phone), text
            ada.post("/account/", {"name": "Ada", "phone": ""}, page=page)
    assert leaky.stage.ask(named) == [("Ada", "")]


@pytest.mark.usefixtures("unchanged")
def test_hostile_names_and_passwords_do_not_log_in(leaky: Hostile) -> None:
    for text in FIELDS[::40]:
        with pytest.raises(AssertionError):
            Person(leaky.stage.demo.url("web"), text or "x", text or "x")
