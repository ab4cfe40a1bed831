"""The audit trail on its page, and as a file that runs nothing in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from deploynaut.accounts import audit
from deploynaut.accounts.audit import Subject
from deploynaut.accounts.models import AuditEntry, User
from deploynaut.accounts.roles import Role
from deploynaut.web.people.sheet import neutral
from tests.builders import NOW, make_user
from tests.doors.world import World, make_foreign_world


def rows(world: World, name: str, **asked: str) -> list[dict[str, str]]:
    answer = world.browser(name).post("/audit/export/", asked)
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == 'attachment; filename="audit.csv"'
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


def test_an_administrator_reads_everything(world: World) -> None:
    shown = world.browser("Ada").get("/audit/").content.decode()
    assert "logged in" in shown
    assert "127.0.0.1" in shown


@pytest.mark.parametrize("name", ["Vera", "Rob", "Mia", "Ida", "Olga"])
def test_others_read_what_was_done_to_what_they_see(world: World, name: str) -> None:
    make_foreign_world()
    make_user("Pia", Role.OPS, instance=world.instance)
    found = rows(world, name)
    assert {row["kind"] for row in found} == {"instance", "environment", "deployment", "user"}
    assert not [row for row in found if "beta" in row["on what"]]
    assert {row["action"] for row in found if row["kind"] == "user"} == {"role given"}
    assert any("Pia" in row["on what"] for row in found)
    assert "from" not in found[0]
    assert "127.0.0.1" not in world.browser(name).get("/audit/").content.decode()


def test_a_stranger_reads_nothing(world: World) -> None:
    assert "Nothing found" in world.browser("Sam").get("/audit/").content.decode()
    assert rows(world, "Sam") == []


def test_a_narrowed_role_reads_of_its_environment_alone(world: World) -> None:
    make_user("Uta", Role.VIEWER, at=world.uat)
    make_user("Pia", Role.OPS, at=world.prod)
    found = rows(world, "Uta")
    assert not [row for row in found if "acme/prod" in row["on what"] or "Pia" in row["on what"]]
    assert any("acme/uat" in row["on what"] for row in found)


def test_it_is_narrowed_by_who_what_on_what_when_and_result(world: World) -> None:
    audit.record("tried it", actor=None, subject=Subject("system"), now=NOW, result=audit.Result.DENIED)
    audit.record("did it", actor=User.objects.get(name="Mia"), subject=Subject("system", None, "all"), now=NOW)
    assert {row["who"] for row in rows(world, "Ada", who="mia")} == {"Mia"}
    assert [row["action"] for row in rows(world, "Ada", what="DID IT")] == ["did it"]
    assert [row["action"] for row in rows(world, "Ada", on="all", what="it")] == ["did it"]
    assert [row["action"] for row in rows(world, "Ada", result="denied", what="tried")] == ["tried it"]
    assert len(rows(world, "Ada", since="2026-07-01", until="2026-07-01", what=" it")) == 2
    assert rows(world, "Ada", until="2026-06-30", what=" it") == []
    assert rows(world, "Ada", since="2026-07-02", what="tried it") == []


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "99999-01-01", "<b>"])
def test_what_is_no_day_is_said_at_its_field(world: World, day: str) -> None:
    shown = world.browser("Ada").get("/audit/", {"since": day}).content.decode()
    assert 'id="since-wrong"' in shown
    assert "<b>" not in shown


def test_pages_keep_the_question(world: World) -> None:
    for number in range(60):
        audit.record(f"act {number}", actor=None, subject=Subject("system"), now=NOW)
    shown = world.browser("Ada").get("/audit/?what=act").content.decode()
    assert "?what=act&amp;page=2" in shown


def test_taking_the_trail_away_is_written_down_and_needs_a_form(world: World) -> None:
    rows(world, "Vera", who="mia")
    entry = AuditEntry.objects.get(action="audit trail exported")
    assert (entry.actor_name, entry.after) == ("Vera", {"who": "mia"})
    assert world.browser("Vera").get("/audit/export/").status_code == 405


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", '=HYPERLINK("http://evil.example")']


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text: str) -> None:
    assert neutral(text) == f"'{text}"


def test_names_from_outside_are_neutralised_in_the_file(world: World) -> None:
    audit.record("=cmd|' /C calc'!A0", actor=None, called="@x", subject=Subject("system", None, "+1"), now=NOW)
    row = rows(world, "Ada", what="calc")[0]
    assert (row["who"], row["action"][0], row["on what"]) == ("'@x", "'", "'+1")
