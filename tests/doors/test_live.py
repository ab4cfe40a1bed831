"""The live stream: every line once, also after a break; it ends with the run, the rights, or the process."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.test import AsyncClient

from deploynaut.accounts.models import Grant, User
from deploynaut.draining import draining
from deploynaut.engine.pipeline import TaskSucceeded
from deploynaut.runs.models import LogChunk
from deploynaut.web import live, tail
from tests.builders import Story
from tests.doors.world import World, log_in, make_world

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/instances/acme/uat/3/live/"


@dataclass(frozen=True)
class Event:
    """One event as the browser gets it."""

    name: str
    id: int
    data: str

    @property
    def text(self) -> str:
        """The log text of a `log` event."""
        return str(json.loads(self.data)["text"])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "EVERY", 0.02)
    monkeypatch.setattr(live, "SETTLE", 0.2)


@pytest.fixture
def world() -> World:
    """acme, with #3 running its release step."""
    return make_world()


def viewer(name: str) -> AsyncClient:
    """A browser of this person that can hold a stream."""
    browser = AsyncClient()
    browser.cookies = log_in(name).cookies
    return browser


async def opened(browser: AsyncClient, *, after: int = 0, last: str = "") -> AsyncIterator[Event]:
    """The events of the stream from a position on."""
    headers: dict[str, Any] = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    answer: Any = await browser.get(f"{ADDRESS}?after={after}", headers=headers)
    assert isinstance(answer, StreamingHttpResponse)
    assert answer["Content-Type"] == "text/event-stream"
    stream = answer.__aiter__()
    try:
        async for piece in stream:
            for event in _events(bytes(piece).decode()):
                yield event
    finally:
        await stream.aclose()  # type: ignore[attr-defined]


def _events(text: str) -> list[Event]:
    found = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        name = next((line[7:] for line in lines if line.startswith("event: ")), "")
        number = next((int(line[4:]) for line in lines if line.startswith("id: ")), -1)
        if name:
            found.append(Event(name, number, "\n".join(line[6:] for line in lines if line.startswith("data: "))))
    return found


async def collect(stream: AsyncIterator[Event], *, until: Callable[[list[Event]], bool]) -> list[Event]:
    """The events up to the one that fulfils the condition; fails after ten seconds."""
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in stream:
            found.append(event)
            if until(found):
                break
    await stream.aclose()  # type: ignore[attr-defined]
    return found


def lines(events: list[Event]) -> list[str]:
    """The marked lines of the log events, in order."""
    return [line for event in events if event.name == "log" for line in re.findall(r"line \d+", event.text)]


async def write(world: World, *numbers: int) -> None:
    """Log lines of the step in hand, one chunk each."""

    def writing() -> None:
        for number in numbers:
            Story(world.open, world.open.begun_at).log(f"line {number}")

    await sync_to_async(writing)()


def test_a_viewer_gets_the_page_and_every_line_once(world: World) -> None:
    browser = viewer("Rob")

    async def story() -> list[Event]:
        await write(world, 1, 2)
        stream = opened(browser)
        first = await collect_some(stream, 2)
        await write(world, 3, 4, 5)
        return first + await collect(stream, until=lambda found: len(lines(found)) == 3)

    async def collect_some(stream: AsyncIterator[Event], count: int) -> list[Event]:
        found: list[Event] = []
        async with asyncio.timeout(10):
            async for event in stream:
                found.append(event)
                if len(lines(found)) == count and any(one.name == "page" for one in found):
                    break
        return found

    events = asyncio.run(story())
    assert lines(events) == [f"line {number}" for number in range(1, 6)]
    assert any('data-part="top"' in event.data for event in events if event.name == "page")


def test_after_a_break_the_stream_goes_on_where_it_was(world: World) -> None:
    browser = viewer("Rob")

    async def story() -> tuple[list[Event], list[Event]]:
        await write(world, *range(30))
        first = await collect(opened(browser), until=lambda found: len(lines(found)) == 12)
        await write(world, *range(30, 40))
        last = str(first[-1].id)
        rest = await collect(opened(browser, last=last), until=lambda found: lines(found)[-1:] == ["line 39"])
        return first, rest

    first, rest = asyncio.run(story())
    assert lines(first) + lines(rest) == [f"line {number}" for number in range(40)]


def test_every_event_carries_the_position_from_which_to_resume(world: World) -> None:
    browser = viewer("Rob")

    async def story() -> list[Event]:
        await write(world, 1, 2, 3)
        return await collect(opened(browser), until=lambda found: len(lines(found)) == 3)

    events = asyncio.run(story())
    ids = [event.id for event in events]
    assert ids == sorted(ids)
    newest = LogChunk.objects.filter(run=world.open.run_id).order_by("-id").values_list("id", flat=True)[0]
    assert ids[-1] == newest


def test_the_position_of_a_page_loses_no_line_and_doubles_none(world: World) -> None:
    browser = viewer("Rob")
    Story(world.open).log("line 1")
    page = log_in("Rob").get("/instances/acme/uat/3/").content.decode()
    after = int(re.findall(r'data-after="(\d+)"', page)[0])
    assert page.count("line 1") == 1

    async def story() -> list[Event]:
        await write(world, 2)
        return await collect(opened(browser, after=after), until=lambda found: len(lines(found)) == 1)

    assert lines(asyncio.run(story())) == ["line 2"]


def test_the_stream_ends_when_the_deployment_has_ended(world: World) -> None:
    browser = viewer("Rob")
    story = Story(world.open, world.open.begun_at)
    story.apply(TaskSucceeded())
    story.do()
    assert story.run.ended
    events = asyncio.run(collect(opened(browser), until=lambda found: found[-1].name == "end"))
    assert events[-1].name == "end"
    last = [event for event in events if event.name == "page"][-1]
    assert "Succeeded" in last.data
    assert "smoke_tests begins" in "".join(event.text for event in events if event.name == "log")


def test_a_thousand_lines_come_whole_and_in_order(world: World) -> None:
    browser = viewer("Rob")
    story = Story(world.open, world.open.begun_at)
    run, step = story.run, story.run.steps.get(kind="release")
    LogChunk.objects.bulk_create(
        LogChunk(run=run, step=step, at=story.now, text=f"line {number}\n") for number in range(1000)
    )
    events = asyncio.run(collect(opened(browser), until=lambda found: lines(found[-1:]) == ["line 999"]))
    assert lines(events) == [f"line {number}" for number in range(1000)]


def test_who_loses_the_right_is_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RIGHTS_AGAIN", 0.1)
    browser = viewer("Vera")

    async def story() -> list[Event]:
        stream = opened(browser)
        async for event in stream:
            if event.name == "page":
                break
        await sync_to_async(Grant.objects.filter(user__name="Vera").delete)()
        return await collect(stream, until=lambda found: found[-1].name == "gone")

    assert asyncio.run(story())[-1].name == "gone"


def test_whose_sessions_are_ended_is_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RIGHTS_AGAIN", 0.1)
    browser = viewer("Vera")

    async def story() -> list[Event]:
        stream = opened(browser)
        async for event in stream:
            if event.name == "page":
                break
        await sync_to_async(lambda: User.objects.get(name="Vera").end_sessions())()
        return await collect(stream, until=lambda found: found[-1].name == "gone")

    assert asyncio.run(story())[-1].name == "gone"


def test_a_process_that_goes_down_ends_its_streams(world: World) -> None:
    browser = viewer("Rob")

    async def story() -> list[Event]:
        found = []
        async with asyncio.timeout(10):
            async for event in opened(browser):
                found.append(event)
                if event.name == "page":
                    draining.set()
        return found

    try:
        assert asyncio.run(story())[-1].name == "page"
    finally:
        draining.clear()


def test_all_viewers_of_a_run_share_one_tail(world: World) -> None:
    browsers = [viewer(name) for name in ("Rob", "Mia", "Vera")]

    async def story() -> int:
        streams = [opened(browser) for browser in browsers]
        for stream in streams:
            async for event in stream:
                if event.name == "page":
                    break
        count = tail.tails.count
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        return count

    assert asyncio.run(story()) == 1
    assert tail.tails.count == 0


def test_each_viewer_sees_what_they_themselves_may_do(world: World) -> None:
    async def page_of(name: str) -> str:
        events = await collect(opened(browsers[name]), until=lambda found: found[-1].name == "page")
        return events[-1].data

    browsers = {name: viewer(name) for name in ("Rob", "Vera")}
    assert "You may not abort" not in asyncio.run(page_of("Rob"))
    assert "You may not abort" in asyncio.run(page_of("Vera"))


def test_strangers_and_passers_by_get_no_stream(world: World) -> None:
    async def status(browser: AsyncClient) -> int:
        answer = await browser.get(ADDRESS, headers={"Accept": "text/event-stream"})
        return answer.status_code

    assert asyncio.run(status(viewer("Sam"))) == 404
    assert asyncio.run(status(AsyncClient())) == 401


@pytest.mark.parametrize("text", ["-1", "x", "1e9", "²", "9" * 30, "1; DROP"])
def test_a_nonsense_position_means_from_the_beginning(world: World, text: str) -> None:
    browser = viewer("Rob")

    async def story() -> list[Event]:
        await write(world, 1)
        return await collect(opened(browser, last=text), until=lambda found: len(lines(found)) == 1)

    assert lines(asyncio.run(story())) == ["line 1"]
