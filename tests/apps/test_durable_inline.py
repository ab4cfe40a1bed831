"""The port and its inline form: when a wake runs, and that nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from deploynaut.durable import port
from deploynaut.durable.inline import InlineEngine, inline_engine
from deploynaut.durable.port import Book, Books, WakeState

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Probe:
    """A kind that notes which rows it was asked to look at."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.then: dict[int, int] = {}
        self.due: list[tuple[int, str]] = []

    def handle(self, id: int) -> None:
        """Note the id, and wake what the test wants to follow it."""
        self.seen.append(id)
        if id in self.then:
            port.wake("probe", self.then.pop(id), "environment:1")
            assert self.seen[-1] == id, "a wake ran inside the handler that asked for it"


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    probe = Probe()
    monkeypatch.setattr(
        port.books,
        "by_kind",
        {"probe": Book(handler=probe.handle, pending=lambda: probe.due)},
    )
    return probe


@pytest.fixture
def engine(probe: Probe) -> Iterator[InlineEngine]:
    with inline_engine(now=NOON) as engine:
        yield engine


@pytest.mark.django_db(transaction=True)
def test_a_wake_runs_after_the_commit_and_not_before(engine: InlineEngine, probe: Probe) -> None:
    with transaction.atomic():
        port.wake("probe", 1, "environment:1")
        assert probe.seen == []
    assert probe.seen == [1]


@pytest.mark.django_db(transaction=True)
def test_a_wake_of_a_transaction_that_rolls_back_is_forgotten(engine: InlineEngine, probe: Probe) -> None:
    with pytest.raises(ValueError, match="no"), transaction.atomic():
        port.wake("probe", 1, "environment:1")
        raise ValueError("no")
    assert (probe.seen, engine.waiting) == ([], [])


@pytest.mark.django_db
def test_inside_a_tests_own_transaction_a_wake_runs_at_once(engine: InlineEngine, probe: Probe) -> None:
    port.wake("probe", 1, "environment:1")
    assert probe.seen == [1]


@pytest.mark.django_db
def test_inside_a_tests_own_transaction_an_inner_ones_wake_runs_with_the_next_settle(
    engine: InlineEngine, probe: Probe
) -> None:
    with transaction.atomic():
        port.wake("probe", 1, "environment:1")
    with pytest.raises(ValueError, match="no"), transaction.atomic():
        port.wake("probe", 2, "environment:1")
        raise ValueError("no")
    assert engine.settle() == 1
    assert probe.seen == [1]


@pytest.mark.django_db
def test_a_wake_inside_a_handler_runs_after_it(engine: InlineEngine, probe: Probe) -> None:
    probe.then = {1: 2, 2: 3}
    port.wake("probe", 1, "environment:1")
    assert probe.seen == [1, 2, 3]


@pytest.mark.django_db
def test_a_delayed_wake_waits_for_its_time(engine: InlineEngine, probe: Probe) -> None:
    port.wake("probe", 2, "environment:1", at=NOON + timedelta(hours=2))
    port.wake("probe", 1, "environment:1", at=NOON + timedelta(hours=1))
    assert [wake.id for wake in engine.delayed] == [1, 2]
    assert [one.wake.id for one in port.live(WakeState.DELAYED)] == [2, 1]
    assert engine.run_due(NOON + timedelta(hours=1)) == 1
    assert (probe.seen, port.now()) == ([1], NOON + timedelta(hours=1))


@pytest.mark.django_db
def test_a_lost_wake_is_found_by_reconciling(engine: InlineEngine, probe: Probe) -> None:
    port.wake("probe", 1, "environment:1", at=NOON + timedelta(days=1))
    assert [wake.id for wake in engine.forget()] == [1]
    probe.due = [(1, "environment:1")]
    assert engine.reconcile() == 1
    assert probe.seen == [1]


@pytest.mark.django_db
def test_without_automatic_a_wake_waits_until_it_is_asked_for(probe: Probe) -> None:
    with inline_engine(now=NOON, automatic=False) as engine:
        port.wake("probe", 1, "environment:1")
        assert probe.seen == []
        assert engine.settle() == 1


def test_two_rooms_cannot_have_the_same_kind() -> None:
    books = Books()
    books.add("run", Book(handler=print, pending=list))
    books.add("run", Book(handler=print, pending=list))
    with pytest.raises(port.AlreadyRegistered, match="'run' is registered already"):
        books.add("run", Book(handler=Probe().handle, pending=list))


def test_a_wake_of_an_unknown_kind_says_what_is_missing() -> None:
    with pytest.raises(port.UnknownKind, match="No room has registered the kind 'nothing'"):
        Books().of("nothing")
