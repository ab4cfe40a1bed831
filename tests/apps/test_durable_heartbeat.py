"""Who is dead, who takes over, what was forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from deploynaut.durable import port
from deploynaut.durable.heartbeat import Heart, Watch, abandoned
from deploynaut.durable.models import Worker
from deploynaut.durable.port import Book, LiveWake, Wake, WakeState
from deploynaut.durable.worker import Caretaker, Rhythm

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def worker(name: str = "w1", *, beat: datetime = NOON, taken_at: datetime | None = None) -> Worker:
    return Worker(
        name=name,
        host="h",
        pid=1,
        version="",
        started_at=NOON,
        beat_at=beat,
        taken_at=taken_at,
    )


def running(id: int, executor: str, *, since: datetime = NOON) -> LiveWake:
    wake = Wake(kind="run", id=id, key="environment:1")
    return LiveWake(
        wake=wake,
        state=WakeState.RUNNING,
        reference=str(id),
        executor=executor,
        taken_at=since,
    )


@dataclass
class FakeQueue:
    """The queue as far as the caretaker sees it."""

    wakes: list[LiveWake] = field(default_factory=list)
    handed: list[int] = field(default_factory=list)
    kept: list[Wake] = field(default_factory=list)

    def start(self, executor: str, kinds: object) -> None: ...
    def stop(self, seconds: int) -> None: ...
    def prune(self, before: datetime) -> int:
        return 0

    def live(self, *states: WakeState) -> list[LiveWake]:
        return [one for one in self.wakes if one.state in states or not states]

    def keep(self, wake: Wake) -> None:
        self.kept.append(wake)

    def hand_over(self, wakes: Iterable[LiveWake]) -> None:
        self.handed += [one.wake.id for one in wakes]


@pytest.fixture
def watch() -> Watch:
    return Watch(dead_after=timedelta(seconds=15), look_every=timedelta(seconds=2))


@pytest.mark.parametrize(
    ("what", "looks", "dead"),
    [
        ("it beats", [(0, 0, 0), (2, 2, 2), (20, 20, 20)], False),
        ("it is late, not dead", [(0, 0, 0), (14, 14, 0)], False),
        ("it is silent", [(0, 0, 0), (15, 15, 0)], True),
        ("it was silent long before this worker looked first", [(60, 0, 0)], False),
        ("... and still is two looks later", [(60, 0, 0), (64, 4, 0)], True),
        (
            "the wall clock jumped ahead; it has not had its turn yet",
            [(0, 0, 0), (3600, 2, 0)],
            False,
        ),
        ("the wall clock jumped back; it is silent", [(0, 0, 0), (-3600, 17, 0)], True),
        ("this worker itself was frozen", [(0, 0, 0), (60, 60, 60)], False),
    ],
)
def test_a_worker_is_dead_when_both_clocks_say_so(
    watch: Watch, what: str, looks: list[tuple[float, float, float]], dead: bool
) -> None:
    found: list[Worker] = []
    for wall, steady, beat in looks:
        found = watch.dead([worker(beat=after(beat))], now=after(wall), steady=steady)
    assert bool(found) is dead, what


def test_only_wakes_of_workers_without_a_row_are_abandoned_and_not_the_youngest() -> None:
    wakes = [
        running(1, "h:gone"),
        running(2, "h:w1"),
        running(3, "h:new", since=after(9)),
    ]
    assert abandoned(wakes, {"h:w1"}, now=after(10)) == {"h:gone"}


@pytest.mark.django_db
def test_only_one_worker_takes_over_and_a_beat_in_between_keeps_it_from_that() -> None:
    worker("dead").save()
    as_read = Worker.objects.get()
    assert Worker.objects.claim(as_read, by="h:a", now=after(20))
    assert not Worker.objects.claim(as_read, by="h:b", now=after(20))
    assert not Worker.objects.claim(Worker.objects.get(), by="h:b", now=after(21))
    assert Worker.objects.claim(Worker.objects.get(), by="h:b", now=after(40)), "h:a died while it took over"
    Worker.objects.release("h:dead", by="h:a")
    assert Worker.objects.count() == 1
    Heart(host="h", name="dead").beat(after(41))
    assert not Worker.objects.claim(as_read, by="h:b", now=after(60))


@pytest.mark.django_db
def test_a_worker_does_not_begin_while_its_last_lifes_wakes_are_taken_over() -> None:
    worker("w1", taken_at=NOON).save()
    heart = Heart(host="h", name="w1")
    assert not heart.begin(after(1))
    assert heart.begin(after(10))
    heart.end()
    assert heart.begin(after(11))


@pytest.mark.django_db
def test_a_worker_that_was_taken_for_dead_takes_part_again() -> None:
    heart = Heart(host="h", name="w1")
    heart.begin(NOON)
    Worker.objects.all().delete()
    heart.beat(after(60))
    assert Worker.objects.get().executor == "h:w1"


@pytest.mark.django_db
def test_wakes_of_a_worker_that_has_left_are_handed_over_once() -> None:
    queue = FakeQueue(wakes=[running(1, "h:gone"), running(2, "h:me")])
    Heart(host="h", name="me").begin(port.utc_now())
    Caretaker(executor="h:me", queue=queue, rhythm=Rhythm()).take_over()
    assert queue.handed == [1]
    assert [row.executor for row in Worker.objects.all()] == ["h:me"]


@pytest.mark.django_db
def test_wakes_of_a_worker_that_is_back_are_left_to_it() -> None:
    worker("gone").save()
    assert not Worker.objects.claim_absent("h:gone", by="h:me", now=NOON)


def test_a_kind_whose_rows_cannot_be_read_does_not_keep_the_others_from_being_woken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> list[tuple[int, str]]:
        raise RuntimeError("no such table")

    books = {
        "message": Book(handler=print, pending=broken),
        "run": Book(handler=print, pending=lambda: [(7, "environment:1")]),
    }
    monkeypatch.setattr(port.books, "by_kind", books)
    queue = FakeQueue()
    Caretaker(executor="h:me", queue=queue, rhythm=Rhythm()).reconcile()
    assert [wake.kind for wake in queue.kept] == ["run"]


@pytest.mark.parametrize(
    ("state", "woken"),
    [
        (WakeState.QUEUED, []),
        (WakeState.RUNNING, []),
        (WakeState.DELAYED, [7]),
        (None, [7]),
    ],
)
def test_the_reconciler_wakes_a_row_unless_a_wake_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, state: WakeState | None, woken: list[int]
) -> None:
    book = Book(handler=print, pending=lambda: [(7, "environment:1")])
    monkeypatch.setattr(port.books, "by_kind", {"run": book})
    wake = Wake(kind="run", id=7, key="environment:1")
    queue = FakeQueue(wakes=[LiveWake(wake=wake, state=state, reference="r")] if state else [])
    Caretaker(executor="h:me", queue=queue, rhythm=Rhythm()).reconcile()
    assert [wake.id for wake in queue.kept] == woken


@pytest.mark.parametrize(("seconds", "woken"), [(3, []), (3600, [7])])
def test_a_row_that_is_woken_again_in_a_moment_is_left_to_that_wake(
    monkeypatch: pytest.MonkeyPatch, seconds: int, woken: list[int]
) -> None:
    """A run that finds its lock taken asks again every 3 s; each round would have added one that does so too."""
    book = Book(handler=print, pending=lambda: [(7, "environment:1")])
    monkeypatch.setattr(port.books, "by_kind", {"run": book})
    wake = Wake(kind="run", id=7, key="environment:1", at=port.utc_now() + timedelta(seconds=seconds))
    queue = FakeQueue(wakes=[LiveWake(wake=wake, state=WakeState.DELAYED, reference="r")])
    Caretaker(executor="h:me", queue=queue, rhythm=Rhythm()).reconcile()
    assert [wake.id for wake in queue.kept] == woken
