"""A session followed by server-sent events: nothing is missed, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import convert

from chat.wire.protocol import RunView, decode_events, encode
from chat.wire.transcript import RunState, apply, view
from tests.client import Person, from_view
from tests.servers import Site


async def stream(
    site: Site, person: Person, session_id: UUID, last: str = "", query: str = ""
) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
    """The id and the message of each event."""
    headers = {"Cookie": person.cookie} | ({"Last-Event-ID": last} if last else {})
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream(
            "GET",
            f"{site.url}/api/sessions/{session_id}/events{query}",
            headers=headers,
        ) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        event: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                yield event.get("id", ""), json.loads(event["data"])
                event = {}


class Reader:
    """Folds what a stream says."""

    def __init__(self) -> None:
        self.runs: dict[int, RunState] = {}
        self.last = ""

    def hear(self, id_: str, said: dict[str, Any]) -> None:
        self.last = id_ or self.last
        data = said["data"]
        if said["type"] == "snapshot":
            for run in data["runs"]:
                self.runs[run["run"]] = from_view(convert(run, RunView))
        elif said["type"] == "events":
            run = self.runs.setdefault(data["run"], RunState(data["run"]))
            for event in decode_events(encode(data["events"])):
                assert apply(run, event), "nothing comes twice"

    def shown(self, number: int) -> bytes:
        return encode(view(self.runs[number]))


async def test_who_is_cut_off_again_and_again_reads_what_a_socket_is_told(
    site: Site,
) -> None:
    person, reader = Person(site.url), Reader()
    async with person.watch([site.url]) as viewer:
        viewer.ask("[stream thought=20 tokens=200 rate=100]")
        await viewer.until(lambda: viewer.runs.get(1), 20, "begun")
        parts = 0
        while not (run := reader.runs.get(1)) or run.status != "finished":
            parts += 1
            heard = 0
            async with aclosing(
                stream(site, person, viewer.session_id, reader.last)
            ) as events:
                async for id_, said in events:
                    reader.hear(id_, said)
                    heard += 1
                    if heard > 12 or reader.runs[1].status == "finished":
                        break
        await viewer.until(lambda: viewer.reason(1), 20, "finished")
        assert parts > 2
        assert reader.shown(1).decode() == viewer.transcript()[1]


async def test_a_stream_can_begin_with_what_is_seen(site: Site) -> None:
    person, reader = Person(site.url), Reader()
    async with person.watch([site.url]) as viewer:
        viewer.ask("Hello")
        await viewer.until(lambda: viewer.reason(1), 20, "finished")
        run = viewer.runs[1]
        query = f'?seen={{"1":[{run.epoch},{run.seq}]}}'
        async with aclosing(
            stream(site, person, viewer.session_id, query=query)
        ) as events:
            _, first = await anext(events)
            assert (first["type"], first["data"]["runs"]) == ("snapshot", [])
            viewer.ask("And again")
            async for id_, said in events:
                reader.hear(id_, said)
                if 2 in reader.runs and reader.runs[2].status == "finished":
                    break
        assert set(reader.runs) == {2}


@pytest.mark.parametrize(
    ("query", "last"),
    [("?seen=x", ""), ('?seen={"a":1}', ""), ("", "1.2.3.4"), ("", "a")],
)
def test_a_place_that_is_none_is_refused(site: Site, query: str, last: str) -> None:
    answer = httpx.get(
        f"{site.url}/api/sessions/{uuid4()}/events{query}",
        headers={"Last-Event-ID": last},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_message"


async def test_a_stream_ends_when_its_session_is_deleted(site: Site) -> None:
    person = Person(site.url)
    async with person.watch([site.url]) as viewer:
        viewer.ask("Hello")
        await viewer.until(lambda: viewer.reason(1), 20, "finished")
        said: list[dict[str, Any]] = []
        async with aclosing(stream(site, person, viewer.session_id)) as events:
            said.append((await anext(events))[1])
            headers = {"X-CSRFToken": person.cookie_named("csrf")}
            async with httpx.AsyncClient(headers={"Cookie": person.cookie}) as client:
                url = f"{site.url}/api/sessions/{viewer.session_id}"
                assert (await client.delete(url, headers=headers)).status_code == 204
            async with asyncio.timeout(10):
                said += [message async for _, message in events]
        assert said[-1] == {"code": 4404}
        stranger = Person(site.url)
        with pytest.raises(AssertionError):
            await anext(stream(site, stranger, viewer.session_id))
