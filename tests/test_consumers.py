"""The wire, against real server processes: what PROTOCOL.md says, to the letter."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import websockets
from msgspec import convert
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from chat.auth.limits import MAX_READS_PER_MINUTE
from chat.consumers import ChatConsumer
from chat.live.outbox import TooSlowError
from chat.store.events import events_in
from chat.wire import protocol
from chat.wire.protocol import encode
from chat.wire.transcript import fold, view
from tests.client import Person, Viewer
from tests.model_server.process import ModelServer, eventually
from tests.servers import Databases, Site

ANSWER = "👩‍👩‍👧 Ünï\u2028code <b>&amp; more. "
SCRIPT = [
    {"event": "started", "part": 0, "type": "thought", "iteration": 1},
    {"event": "grew", "part": 0, "text": "You asked: {prompt}"},
    {"event": "finished", "part": 0},
    {
        "event": "started",
        "part": 1,
        "type": "tool_use",
        "iteration": 1,
        "tool_name": "calculator",
        "call_id": "call-1",
    },
    {"event": "grew", "part": 1, "text": '{"expression": "1+1"}'},
    {"event": "finished", "part": 1, "tool_input": {"expression": "1+1"}},
    {
        "event": "started",
        "part": 2,
        "type": "tool_result",
        "iteration": 1,
        "tool_name": "calculator",
        "call_id": "call-1",
    },
    {"event": "grew", "part": 2, "text": "2"},
    {"event": "finished", "part": 2},
    {"event": "started", "part": 3, "type": "final_answer", "iteration": 2},
    *({"event": "grew", "part": 3, "text": ANSWER} for _ in range(5)),
    {"event": "finished", "part": 3},
    {
        "event": "ended",
        "reason": "answered",
        "usage": {"input_tokens": 3, "output_tokens": 5},
    },
]
TYPES = ["thought", "tool_use", "tool_result", "final_answer"]
SERVERS = ["uvicorn", "runserver"]


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    """The scripted model server."""
    with ModelServer() as server:
        yield server


class Sites:
    """Server processes for all tests of this module, started when first asked for."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        databases: Databases,
        model: ModelServer,
        static_root: Path,
    ) -> None:
        self._folder = folder
        self._stack = stack
        self._databases = databases
        self._model = model
        self._static_root = static_root
        self._started: dict[str, Site] = {}
        (folder / "script.json").write_text(json.dumps(SCRIPT))

    def get(self, server: str = "uvicorn", **settings: object) -> Site:
        """A site on this server with these settings."""
        key = f"{server} {sorted(settings.items())}"
        if key not in self._started:
            folder = self._folder / f"{len(self._started)}"
            folder.mkdir()
            site = Site(
                folder,
                server,
                **{
                    "DATABASE_URL": self._databases.new("sqlite"),
                    "SCRIPTED_AGENT": self._folder / "script.json",
                    "LLM_BASE_URL": self._model.base_url,
                    "LLM_MODEL": "scripted",
                    "STATIC_ROOT": self._static_root,
                    "MAX_MESSAGES_PER_MINUTE": 10_000,
                    "ALLOW_GUESTS": 1,
                }
                | settings,
            )
            self._started[key] = self._stack.enter_context(site)
        return self._started[key]


@pytest.fixture(scope="module")
def sites(
    tmp_path_factory: pytest.TempPathFactory,
    databases: Databases,
    model: ModelServer,
    static_root: Path,
) -> Iterator[Sites]:
    """See Sites. What they logged must hold no traceback in the end."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("sites")
        started = Sites(folder, stack, databases, model, static_root)
        yield started
        logs = [site.log_text for site in started._started.values()]
    for log in logs:
        assert "Traceback" not in log, log[-6000:]


@pytest.fixture(params=SERVERS)
def site(request: pytest.FixtureRequest, sites: Sites) -> Site:
    """The test is run once on each server."""
    return sites.get(request.param)


@pytest.fixture
def quick_site(sites: Sites) -> Site:
    """One server, where which one makes no difference."""
    return sites.get("uvicorn")


class Socket:
    """A raw client: sends what it is told, hears what comes."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[dict[str, Any]] = []

    async def send(self, type_: str, **payload: Any) -> None:
        await self.connection.send(json.dumps({"type": type_, "payload": payload}))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(15):
            text = await self.connection.recv()
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        assert set(message) == {"type", "data"}
        self.heard.append(message)
        return message

    async def expect(self, type_: str) -> Any:
        """The data of the next message, which must be of this type."""
        message = await self.hear()
        assert message["type"] == type_, message
        return message["data"]

    async def until(self, type_: str) -> list[dict[str, Any]]:
        """All messages up to the first of this type."""
        messages = [await self.hear()]
        while messages[-1]["type"] != type_:
            messages.append(await self.hear())
        return messages

    async def closed(self) -> int:
        """The close code; nothing but answers may come before."""
        async with asyncio.timeout(15):
            try:
                while True:
                    await self.connection.recv()
            except websockets.ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006

    async def ping(self) -> None:
        """The socket goes on."""
        await self.send("ping", timestamp=17)
        while True:
            message = await self.hear()
            if message["type"] == "pong":
                assert message["data"] == {"timestamp": 17}
                return

    async def finished(self, run: int = 1) -> list[dict[str, Any]]:
        """In log mode: all events of the run up to its last."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["kind"] != "run_finished":
            message = await self.hear()
            if message["type"] == "events" and message["data"]["run"] == run:
                events += message["data"]["events"]
        return events


@asynccontextmanager
async def open_socket(
    site: Site,
    session_id: object = None,
    *,
    person: Person | None = None,
    cookie: str = "",
    greeted: bool = True,
    origin: str | None = None,
) -> AsyncIterator[Socket]:
    """A socket, past its greeting."""
    cookie = person.cookie if person else cookie
    async with connect(
        site.ws_url(session_id or uuid4()),
        origin=None if origin is None else Origin(origin),
        additional_headers={"Cookie": cookie} if cookie else {},
        max_size=None,
        compression=None,
        proxy=None,
    ) as connection:
        socket = Socket(connection)
        if greeted:
            await socket.expect("connected")
        yield socket


# ---------------------------------------------------------------- classic mode


async def test_a_client_of_the_reference_protocol_sees_every_step(site: Site) -> None:
    session_id = uuid4()
    async with open_socket(site, session_id, greeted=False) as socket:
        assert await socket.expect("connected") == {
            "session_id": str(session_id),
            "agent_name": "researcher",
            "message": "Connected.",
            "protocol": 2,
            "heartbeat_interval": 30,
        }
        await socket.send("chat", message=" Hi ", agent_name="scripted")
        assert await socket.expect("reasoning_start") == {
            "run": 1,
            "agent": "scripted",
            "message": "Hi",
            "enable_reasoning": True,
        }
        steps = [await socket.expect("reasoning_step") for _ in TYPES]
        assert await socket.expect("reasoning_complete") == {
            "run": 1,
            "reason": "answered",
        }
        await socket.ping()
    assert [step["type"] for step in steps] == TYPES
    contents = [step["content"] for step in steps]
    assert contents == ["You asked: Hi", '{"expression": "1+1"}', "2", ANSWER * 5]
    assert [step["iteration"] for step in steps] == [1, 1, 1, 2]
    assert [step["step"] for step in steps] == [0, 1, 2, 3]
    for step in steps:
        assert isinstance(step["timestamp"], float)
        assert isinstance(step["duration_ms"], int)
        assert step["run"] == 1
    assert steps[1]["tool_name"] == steps[2]["tool_name"] == "calculator"
    assert steps[1]["tool_input"] == {"expression": "1+1"}
    assert "tool_input" not in steps[0]


async def test_without_reasoning_there_is_one_response(site: Site) -> None:
    async with open_socket(site) as socket:
        await socket.send(
            "chat", message="Hi", agent_name="scripted", enable_reasoning=False
        )
        start = await socket.expect("reasoning_start")
        assert start["enable_reasoning"] is False
        response = await socket.expect("response")
        assert response == {"run": 1, "content": ANSWER * 5}
        await socket.expect("reasoning_complete")


async def test_ping_is_answered_with_its_timestamp_wherever_it_stood(
    site: Site,
) -> None:
    async with open_socket(site) as socket:
        for text, timestamp in (
            ('{"type":"ping"}', None),
            ('{"type":"ping","payload":{"timestamp":1234567890.123}}', 1234567890.123),
            ('{"type":"ping","timestamp":1700000000000}', 1700000000000),
            ('{"type":"ping","payload":{},"timestamp":"2026-01-01"}', "2026-01-01"),
        ):
            await socket.connection.send(text)
            assert await socket.expect("pong") == {"timestamp": timestamp}


def held(model: ModelServer, *more: dict[str, Any]) -> str:
    """A scenario that begins to answer and waits for a gate of the same name."""
    name = uuid4().hex
    return model.add(name, [{"text": "Held. "}, *more, {"wait": name}, {"text": "On."}])


def asked(model: ModelServer, name: str) -> dict[str, Any]:
    """What the model server saw of the request that plays this scenario."""
    found = [each for each in model.requests() if each["scenario"] == name]
    return found[-1] if found else {"tokens": 0}


async def test_an_interrupt_stops_the_answer_and_the_model(
    quick_site: Site, model: ModelServer
) -> None:
    async with open_socket(quick_site) as socket:
        name = held(model)
        await socket.send("chat", message=f"[scenario {name}]")
        await socket.expect("reasoning_start")
        await eventually(lambda: asked(model, name)["tokens"])
        await socket.send("interrupt")
        messages = await socket.until("interrupted")
        assert messages[-1]["data"]["run"] == 1
        assert await socket.expect("reasoning_complete") == {
            "run": 1,
            "reason": "stopped",
        }
        await eventually(lambda: asked(model, name)["closed_by_client_at"])
        await socket.send("interrupt")
        error = await socket.expect("error")
        assert error["code"] == "not_found"


async def test_who_connects_in_the_middle_is_told_only_what_comes_then(
    quick_site: Site, model: ModelServer
) -> None:
    person, session_id = Person(quick_site.url), uuid4()
    async with open_socket(quick_site, session_id, person=person) as first:
        gate = held(model)
        await first.send("chat", message=f"[scenario {gate}]")
        await first.expect("reasoning_start")
        async with open_socket(quick_site, session_id, person=person) as second:
            await second.ping()
            model.release(gate)
            told = [await second.until("reasoning_complete")]
        told.append(await first.until("reasoning_complete"))
    for messages in told:
        steps = [m["data"]["content"] for m in messages if "step" in m["data"]]
        assert steps == ["Held. On."]


# ---------------------------------------------------------------- log mode


async def test_log_mode_shows_every_event_and_digests_agree_everywhere(
    site: Site,
) -> None:
    session_id = uuid4()
    async with open_socket(site, session_id) as socket:
        await socket.send("subscribe", protocol=2)
        snapshot = await socket.expect("snapshot")
        assert (snapshot["runs"], snapshot["earlier"]) == ([], False)
        assert snapshot["session"]["session_id"] == str(session_id)
        await socket.send("chat", message="Hi", agent_name="scripted", client_id="id-1")
        events = await socket.finished()
        await socket.ping()
        accepted = [m["data"] for m in socket.heard if m["type"] == "accepted"]
        assert accepted == [{"client_id": "id-1", "run": 1}]
        titles = [m["data"]["title"] for m in socket.heard if m["type"] == "session"]
        assert "Hi" in titles
        # Live is reload.
        await socket.send("subscribe", protocol=2)
        (reloaded,) = (await socket.expect("snapshot"))["runs"]
    run = fold(1, convert(events, list[protocol.Event]))
    assert [step.type for step in run.steps.values()] == TYPES
    assert reloaded == json.loads(encode(view(run)))
    check_digests(site, session_id, [(1, reloaded)])


def check_digests(site: Site, session_id: UUID, runs: list[tuple[int, Any]]) -> None:
    """SHA-256 of every step: as shown, in the rows, and of the log folded anew."""
    for number, shown in runs:
        events = site.rows(
            "SELECT seq, payload, merged FROM chat_event"
            " JOIN chat_run ON run_id = chat_run.id"
            " WHERE session_id = ? AND number = ? ORDER BY seq",
            session_id.hex,
            number,
        )
        rows = site.rows(
            "SELECT step, content, digest FROM chat_step"
            " JOIN chat_run ON run_id = chat_run.id"
            " WHERE session_id = ? AND number = ? ORDER BY step",
            session_id.hex,
            number,
        )
        found = [(step, content, digest) for step, content, digest in rows]
        contents = {step: content for step, content, _ in found}
        log = fold(number, events_in(events, contents))
        assert found == [(s.step, s.content, s.digest) for s in log.steps.values()]
        assert found == [(s["step"], s["content"], s["digest"]) for s in shown["steps"]]
        for _, content, digest in found:
            assert hashlib.sha256(content.encode()).hexdigest() == digest


async def test_subscribing_with_nothing_some_all_or_nonsense_seen(site: Site) -> None:
    person, session_id = Person(site.url), uuid4()
    async with open_socket(site, session_id, person=person) as socket:
        await socket.send("subscribe", protocol=2)
        await socket.expect("snapshot")
        events: list[Any] = []
        for number in (1, 2):
            await socket.send("chat", message=f"{number}", agent_name="scripted")
            events = await socket.finished(number)
    last = events[-1]["seq"]

    async def subscribed(seen: Any) -> tuple[list[int], dict[int, list[Any]]]:
        """Runs in the snapshot, and the events that come beside it."""
        async with open_socket(site, session_id, person=person) as socket:
            await socket.send("subscribe", protocol=2, seen=seen, ref=17)
            snapshot = await socket.expect("snapshot")
            assert snapshot["ref"] == 17
            runs = [run["run"] for run in snapshot["runs"]]
            found: dict[int, list[Any]] = {}
            seqs = {n: at[1] if isinstance(at, list) else at for n, at in seen.items()}
            expected = {int(n) for n, seq in seqs.items() if 0 < seq < last}
            expected &= {1, 2} - set(runs)
            while {n for n, e in found.items() if e[-1]["seq"] == last} != expected:
                message = await socket.hear()
                assert message["type"] == "events"
                found.setdefault(message["data"]["run"], []).extend(
                    message["data"]["events"]
                )
            await socket.ping()
            assert [m["type"] for m in socket.heard[-1:]] == ["pong"]
            return runs, found

    assert await subscribed({}) == ([1, 2], {})
    assert await subscribed({"2": last}) == ([1], {})
    assert await subscribed({"1": last, "2": last}) == ([], {})
    runs, found = await subscribed({"2": 5})
    assert runs == [1]
    first = found[2][0]
    assert first.get("first", first["seq"]) == 6
    covered = 5
    for event in found[2]:
        assert event.get("first", event["seq"]) == covered + 1
        covered = event["seq"]
    assert await subscribed({"2": [1, 5]}) == (runs, found)
    assert await subscribed({"1": [1, last], "2": [1, last]}) == ([], {})
    # What cannot have been seen is shown whole.
    for nonsense in (
        *({"2": last + 1}, {"2": 0}, {"2": -1}, {"9": 3}, {"2": 10**30}),
        *({"2": [2, 5]}, {"2": [0, last]}, {"2": [1, last + 1]}, {"2": [1, 0]}),
    ):
        assert await subscribed(nonsense) == ([1, 2], {})


async def test_the_latest_twenty_are_shown_and_earlier_ones_on_demand(
    quick_site: Site,
) -> None:
    person, session_id = Person(quick_site.url), uuid4()
    async with open_socket(quick_site, session_id, person=person) as socket:
        await socket.send("subscribe", protocol=2)
        await socket.expect("snapshot")
        for number in range(1, 24):
            await socket.send("chat", message=f"{number}", agent_name="scripted")
            await socket.finished(number)
    async with open_socket(quick_site, session_id, person=person) as socket:
        await socket.send("subscribe", protocol=2)
        snapshot = await socket.expect("snapshot")
        assert [run["run"] for run in snapshot["runs"]] == list(range(4, 24))
        assert snapshot["earlier"] is True
        await socket.send("history", before=4, limit=2)
        history = await socket.expect("history")
        assert [run["run"] for run in history["runs"]] == [2, 3]
        assert history["earlier"] is True
        await socket.send("history", before=2)
        history = await socket.expect("history")
        assert ([run["run"] for run in history["runs"]], history["earlier"]) == (
            [1],
            False,
        )
        for before in (1, -5, 10**30):
            await socket.send("history", before=before)
            history = await socket.expect("history")
            assert len(history["runs"]) == (20 if before > 1 else 0)
    # Neither the runs between what was seen and the latest come unasked.
    async with open_socket(quick_site, session_id, person=person) as socket:
        await socket.send("subscribe", protocol=2, seen={"1": 10**6, "2": 3})
        snapshot = await socket.expect("snapshot")
        assert [run["run"] for run in snapshot["runs"]] == list(range(4, 24))
        await socket.send("chat", message="24", agent_name="scripted")
        await socket.finished(24)
        runs = {m["data"]["run"] for m in socket.heard if m["type"] == "events"}
        assert runs == {2, 24}


async def test_a_message_sent_again_is_accepted_again_and_asked_once(
    site: Site,
) -> None:
    async with open_socket(site) as socket:
        await socket.send("subscribe", protocol=2)
        await socket.expect("snapshot")
        for _ in range(3):
            await socket.send(
                "chat", message="Hi", agent_name="scripted", client_id="id-1"
            )
        await socket.finished()
        await socket.ping()
        accepted = [m["data"] for m in socket.heard if m["type"] == "accepted"]
        assert accepted == [{"client_id": "id-1", "run": 1}] * 3
        await socket.send("chat", message="Hi", agent_name="scripted", client_id="id-2")
        await socket.finished(2)


async def test_messages_wait_in_order_and_can_be_withdrawn(
    quick_site: Site, model: ModelServer
) -> None:
    gate = held(model)
    person, session_id = Person(quick_site.url), uuid4()
    async with person.watch([quick_site.url], session_id) as viewer:
        viewer.ask(f"[scenario {gate}]", "a")
        await viewer.until(lambda: "Held" in viewer.text(1), 15)
        for client_id in "bc":
            viewer.ask("[scenario hello]", client_id)
            await viewer.until(partial(viewer.accepted.__contains__, client_id), 15)
        assert [viewer.runs[n].status for n in (2, 3)] == ["queued", "queued"]
        await viewer.send("interrupt", run=2)
        await viewer.until(lambda: viewer.reason(2) == "withdrawn", 15)
        assert viewer.reason(1) is None
        model.release(gate)
        await viewer.until(lambda: viewer.reason(3) == "answered", 15)
        assert viewer.reason(1) == "answered"
        assert viewer.errors == []


async def test_stop_clamps_to_what_was_seen_and_continue_goes_on(
    quick_site: Site, model: ModelServer
) -> None:
    gate = held(model, {"pause": 0.3}, {"text": "Second. "})
    person, session_id = Person(quick_site.url), uuid4()
    async with person.watch([quick_site.url], session_id) as viewer:
        viewer.ask(f"[scenario {gate}]", "a")
        await viewer.until(lambda: "Second" in viewer.text(1), 15)
        # The user saw no more than the beginning of the step.
        rows = quick_site.rows(
            "SELECT payload FROM chat_event JOIN chat_run ON run_id = chat_run.id"
            " WHERE session_id = ? AND payload LIKE '%\"step_delta\"%' ORDER BY seq",
            session_id.hex,
        )
        first = json.loads(rows[0][0])
        await viewer.send("interrupt", run=1, seen=first["seq"])
        await viewer.until(lambda: viewer.reason(1) == "stopped", 15)
        assert viewer.text(1) == first["text"]
        model.release(gate)
        await viewer.send("retry", run=1)
        await viewer.until(lambda: viewer.reason(2) is not None, 15)
        assert viewer.text(1) == first["text"]
        shown = json.loads(viewer.transcript()[1])
        check_digests(quick_site, session_id, [(1, shown)])


async def test_a_new_title_is_told_to_every_open_screen(site: Site) -> None:
    person, session_id = Person(site.url), uuid4()
    async with open_socket(site, session_id, person=person) as socket:
        await socket.send("chat", message="Hi", agent_name="scripted")
        await socket.until("reasoning_complete")
        await socket.send("subscribe", protocol=2)
        await socket.until("snapshot")
        path = f"{site.url}/api/sessions/{session_id}"
        await asyncio.to_thread(person.change, path, {"title": "Höhe", "pinned": True})
        told = await socket.until("session")
        data = {"session_id": str(session_id), "title": "Höhe", "pinned": True}
        assert told[-1]["data"] == data


# ---------------------------------------------------------------- bad input

BAD: list[tuple[str, Any, str]] = [
    ("not JSON", "nonsense", "bad_message"),
    ("binary", b'{"type":"ping"}', "bad_message"),
    ("empty", "", "bad_message"),
    ("not an object", "[1]", "bad_message"),
    ("no type", "{}", "bad_message"),
    ("unknown type", '{"type":"dance"}', "bad_message"),
    ("wrong type", '{"type":7}', "bad_message"),
    ("no message", '{"type":"chat","payload":{}}', "bad_message"),
    ("empty message", '{"type":"chat","payload":{"message":"  "}}', "bad_message"),
    ("wrong field", '{"type":"chat","payload":{"message":7}}', "bad_message"),
    ("surrogate", '{"type":"chat","payload":{"message":"\\ud800"}}', "bad_message"),
    ("deep", '{"type":"ping","timestamp":' + "[" * 50_000, "bad_message"),
    (
        "long message",
        json.dumps({"type": "chat", "payload": {"message": "x" * 32_001}}),
        "too_large",
    ),
    ("long frame", json.dumps({"type": "x" * 300_000}), "too_large"),
    (
        "unknown agent",
        '{"type":"chat","payload":{"message":"Hi","agent_name":"nobody"}}',
        "unknown_agent",
    ),
    ("nothing to stop", '{"type":"interrupt"}', "not_found"),
    ("no such run", '{"type":"interrupt","payload":{"run":9}}', "not_found"),
    ("huge run", f'{{"type":"interrupt","payload":{{"run":{10**30}}}}}', "not_found"),
    ("other protocol", '{"type":"subscribe","payload":{"protocol":1}}', "bad_message"),
    (
        "wrong seen",
        '{"type":"subscribe","payload":{"protocol":2,"seen":3}}',
        "bad_message",
    ),
    (
        "wrong place",
        '{"type":"subscribe","payload":{"protocol":2,"seen":{"1":[1,2,3]}}}',
        "bad_message",
    ),
    (
        "wrong limit",
        '{"type":"history","payload":{"before":1,"limit":51}}',
        "bad_message",
    ),
]


async def test_bad_input_gets_its_error_and_the_socket_goes_on(site: Site) -> None:
    async with open_socket(site) as socket:
        for what, frame, code in BAD:
            await socket.connection.send(frame)
            error = await socket.expect("error")
            assert error["code"] == code, what
            assert error["message"], what
            assert isinstance(error["retryable"], bool), what
            assert "Traceback" not in error["message"]
            await socket.ping()
        await socket.send("chat", message="Hi", agent_name="scripted")
        messages = await socket.until("reasoning_complete")
        assert len([m for m in messages if m["type"] == "reasoning_step"]) == 4


async def test_a_refused_message_is_named(quick_site: Site) -> None:
    async with open_socket(quick_site) as socket:
        await socket.send("chat", message="Hi", agent_name="no", client_id="id-1")
        assert (await socket.expect("error"))["client_id"] == "id-1"
        await socket.send("chat", message="", client_id="id-2")
        assert (await socket.expect("error"))["client_id"] == "id-2"
        await socket.send("retry", run=1)
        error = await socket.hear()
        assert "client_id" not in error["data"]


async def test_retrying_what_runs_or_is_not_there_is_an_error(
    quick_site: Site, model: ModelServer
) -> None:
    async with open_socket(quick_site) as socket:
        await socket.send("chat", message=f"[scenario {held(model)}]")
        await socket.expect("reasoning_start")
        await socket.send("retry", run=1)
        assert (await socket.until("error"))[-1]["data"]["code"] == "bad_message"
        await socket.send("retry", run=9)
        assert (await socket.until("error"))[-1]["data"]["code"] == "not_found"
        await socket.send("interrupt")
        await socket.until("reasoning_complete")


async def test_ten_bad_frames_in_a_row_are_too_many(site: Site) -> None:
    async with open_socket(site) as socket:
        for _ in range(3):
            for _ in range(9):
                await socket.connection.send("nonsense")
            await socket.ping()
        for _ in range(10):
            await socket.connection.send("nonsense")
        assert await socket.closed() == 4400


# ---------------------------------------------------------------- who may


async def test_a_foreign_page_is_shown_the_door(site: Site) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        async with open_socket(site, greeted=False, origin=origin) as socket:
            assert await socket.closed() == 4403
    own = f"http://127.0.0.1:{site.port}"
    async with open_socket(site, origin=own) as socket:
        await socket.ping()


async def test_an_origin_that_is_none_is_foreign(quick_site: Site) -> None:
    # Daphne itself answers such a handshake with 400.
    async with open_socket(quick_site, greeted=False, origin="http://[") as socket:
        assert await socket.closed() == 4403


async def test_somebody_elses_session_is_not_there(site: Site) -> None:
    owner, stranger = Person(site.url), Person(site.url)
    session_id = uuid4()
    async with open_socket(site, session_id, person=stranger) as early:
        async with open_socket(site, session_id, person=owner) as socket:
            await socket.send("chat", message="Secret", agent_name="scripted")
            await socket.until("reasoning_complete")
        # Who was there before the session was somebody's is told nothing of it.
        assert await early.closed() == 4404
        assert [m["type"] for m in early.heard] == ["connected"]
    for person in (stranger, None):
        async with open_socket(
            site, session_id, person=person, greeted=False
        ) as socket:
            assert await socket.closed() == 4404
    async with open_socket(site, session_id, person=owner) as socket:
        await socket.ping()


@pytest.mark.parametrize("path", ["nonsense", "1", "a/b", "%00", "../chat"])
async def test_what_is_no_session_is_not_there(quick_site: Site, path: str) -> None:
    async with open_socket(quick_site, path, greeted=False) as socket:
        assert await socket.closed() == 4404


async def test_without_guests_one_must_sign_in(sites: Sites) -> None:
    site = sites.get("uvicorn", ALLOW_GUESTS=0)
    async with open_socket(site, greeted=False) as socket:
        assert await socket.closed() == 4401


async def test_who_was_somebody_is_never_taken_for_somebody_new(site: Site) -> None:
    session_id = uuid4()
    guest = next(name for name in Person(site.url).cookies if name.endswith("-guest"))
    for claim, cookie in (
        ("", f"{guest}=of-yesterday"),
        ("?for=guest", f"{guest}=of-yesterday"),
        ("?for=guest", ""),
        ("?for=1", ""),
        ("?for=1", Person(site.url).cookie),
    ):
        path = f"{session_id}{claim}"
        async with open_socket(site, path, cookie=cookie, greeted=False) as socket:
            assert await socket.closed() == 4401, (claim, cookie)
    person = Person(site.url)
    for claim in ("", "?for=guest"):
        async with open_socket(site, f"{session_id}{claim}", person=person) as socket:
            await socket.ping()


async def signed_in(site: Site, name: str) -> Person:
    """A person with an account of this name."""
    person = Person(site.url)
    fields = {"username": name, "password": "secret"}
    await asyncio.to_thread(person.submit, f"{site.url}/sign-in", **fields)
    return person


async def manage(site: Site, code: str) -> None:
    """Have the site's `manage.py shell` do something."""
    begin = "from django.contrib.auth.models import User\n"
    begin += "from django.contrib.sessions.models import Session as CookieSession\n"
    begin += "from chat.models import FormerGuest\n"
    await asyncio.to_thread(site.manage, "shell", "-v0", "-c", begin + code)


async def test_who_signs_out_is_out_on_every_screen_at_once(site: Site) -> None:
    name = f"ada-{uuid4().hex}"
    await manage(site, f"User.objects.create_user('{name}', password='secret')")
    person, elsewhere = await signed_in(site, name), await signed_in(site, name)
    async with (
        open_socket(site, person=person) as first,
        open_socket(site, person=person) as second,
        open_socket(site, person=elsewhere) as third,
    ):
        await asyncio.to_thread(person.submit, f"{site.url}/sign-out")
        async with asyncio.timeout(5):  # not when the watch comes around
            assert await first.closed() == await second.closed() == 4401
        await third.ping()


async def test_who_may_not_be_here_any_more_is_shut_out(sites: Sites) -> None:
    site = sites.get("uvicorn", SIGN_IN_CHECK_SECONDS=0.2)
    names = ["password", "inactive", "deleted", "expired", "unchanged"]
    await manage(
        site,
        f"[User.objects.create_user(name, password='secret') for name in {names}]",
    )
    async with AsyncExitStack() as stack:
        people = {name: await signed_in(site, name) for name in names}
        guest = people["guest"] = Person(site.url)
        sockets = {
            name: await stack.enter_async_context(open_socket(site, person=person))
            for name, person in people.items()
        }
        sockets["passing"] = await stack.enter_async_context(open_socket(site))
        ended = people["expired"].cookie_named("session")
        key = guest.cookie_named("guest").split(":")[0]
        await manage(
            site,
            "user = User.objects.get(username='password')\n"
            "user.set_password('another')\n"
            "user.save()\n"
            "User.objects.filter(username='inactive').update(is_active=False)\n"
            "User.objects.get(username='deleted').delete()\n"
            f"ended = CookieSession.objects.filter(session_key='{ended}')\n"
            "ended.update(expire_date='2000-01-01T00:00Z')\n"
            f"FormerGuest.objects.create(key='{key}')",
        )
        for name in ("password", "inactive", "deleted", "expired"):
            assert await sockets[name].closed() == 4401, name
        # A guest may come back, as whoever that is now: here, nobody.
        assert await sockets["guest"].closed() == 4503
        await sockets["unchanged"].ping()
        await sockets["passing"].ping()
    async with open_socket(site, person=guest, greeted=False) as socket:
        assert await socket.closed() == 4401


@pytest.mark.parametrize("is_quicker", [False, True])
async def test_a_guests_open_page_goes_on_as_the_users(
    quick_site: Site,
    is_quicker: bool,  # noqa: FBT001
) -> None:
    """Even where the guest says something before the page is shut out."""
    name = f"ada-{uuid4().hex}"
    await manage(quick_site, f"User.objects.create_user('{name}', password='secret')")
    person, session_id = Person(quick_site.url), uuid4()
    async with open_socket(quick_site, session_id, person=person) as socket:
        await socket.send("chat", message="Hi", agent_name="scripted")
        await socket.until("reasoning_complete")
        fields = {"username": name, "password": "secret"}
        address = f"{quick_site.url}/sign-in"
        await asyncio.to_thread(person.submit, address, **fields)
        if is_quicker:
            await socket.send("chat", message="Hi", agent_name="scripted")
        async with asyncio.timeout(5):
            assert await socket.closed() == 4503
    path = f"{session_id}?for=guest"
    async with open_socket(quick_site, path, person=person) as socket:
        await socket.send("subscribe", protocol=2)
        assert len((await socket.expect("snapshot"))["runs"]) == 1


# ---------------------------------------------------------------- bounds


async def test_too_many_sockets_messages_and_waiting_runs_are_refused(
    sites: Sites, model: ModelServer
) -> None:
    site = sites.get(
        "uvicorn",
        MAX_SOCKETS_PER_USER=2,
        MAX_MESSAGES_PER_MINUTE=6,
        MAX_QUEUED_RUNS=2,
    )
    person, session_id = Person(site.url), uuid4()
    async with open_socket(site, session_id, person=person) as socket:
        async with (
            open_socket(site, session_id, person=person),
            open_socket(site, session_id, person=person, greeted=False) as third,
        ):
            assert await third.closed() == 4429
        await socket.send("subscribe", protocol=2)
        await socket.expect("snapshot")
        await socket.send("chat", message=f"[scenario {held(model)}]", client_id="0")
        await eventually_running(socket)
        for number in range(1, 6):
            await socket.send("chat", message="Hi", client_id=f"{number}")
        await socket.send("chat", message="Hi", client_id="6")
        errors: list[Any] = []
        while len(errors) < 4:
            message = await socket.hear()
            errors += [message["data"]] if message["type"] == "error" else []
        full = [e["client_id"] for e in errors if e["code"] == "queue_full"]
        assert full == ["3", "4", "5"]
        (limited,) = [e for e in errors if e["code"] == "rate_limited"]
        assert (limited["client_id"], limited["retryable"]) == ("6", True)
        assert limited["retry_after"] > 0
        await socket.send("interrupt", run=2)
        await socket.send("interrupt", run=3)
        await socket.send("interrupt", run=1)
        await socket.finished(1)


async def test_who_has_no_cookie_is_counted_by_address(
    sites: Sites, model: ModelServer
) -> None:
    site = sites.get("uvicorn", MAX_MESSAGES_PER_MINUTE=8, MAX_RUNS_PER_USER=2)
    gates = [held(model) for _ in range(2)]
    chats = [uuid4() for _ in gates]
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(open_socket(site, chat)) for chat in chats
        ]
        for socket, gate in zip((first, second), gates, strict=True):
            await socket.send("chat", message=f"[scenario {gate}]")
            await socket.expect("reasoning_start")
        for _ in range(3):  # each is a new guest
            assert await refused(site) == "queue_full"
        # In chats where an answer is being written there is room to wait.
        await first.send("chat", message="Hi")
        await first.ping()
        # Who has a cookie is somebody else.
        assert await refused(site, person=Person(site.url)) is None
        for gate in gates:
            model.release(gate)
        for socket in (first, second):
            await socket.until("reasoning_complete")
        await first.until("reasoning_complete")
        answers = [await refused(site) for _ in range(12)]
        assert answers[0] is None
        assert "rate_limited" in answers
        assert await refused(site, person=Person(site.url)) is None


async def refused(site: Site, person: Person | None = None) -> Any:
    """Why a message in a new chat is not taken, or None: it was answered."""
    async with open_socket(site, person=person) as socket:
        await socket.send("chat", message="Hi", agent_name="scripted")
        message = await socket.hear()
        if message["type"] == "error":
            return message["data"]["code"]
        await socket.until("reasoning_complete")
        return None


async def eventually_running(socket: Socket) -> None:
    while True:
        message = await socket.hear()
        if message["type"] == "events":
            kinds = [event["kind"] for event in message["data"]["events"]]
            if "run_started" in kinds:
                return


async def test_a_flood_of_questions_is_refused_with_when_to_ask_again(
    sites: Sites,
) -> None:
    async with open_socket(sites.get("uvicorn")) as socket:
        for _ in range(MAX_READS_PER_MINUTE):
            await socket.send("history", before=9)
            await socket.expect("history")
        for type_, payload in (
            ("history", {"before": 9}),
            ("subscribe", {"protocol": 2}),
            ("interrupt", {}),
        ):
            refused: list[dict[str, Any]] = []
            while not refused:  # some are allowed meanwhile, on a slow machine
                for _ in range(20):
                    await socket.send(type_, **payload)
                await socket.send("ping", timestamp=17)
                answers = [answer["data"] for answer in await socket.until("pong")]
                refused = [a for a in answers if a.get("code") == "rate_limited"]
            assert refused[0]["retryable"] is True
            assert 0 < refused[0]["retry_after"] < 1
        await socket.ping()
        await socket.send("chat", message="Hi", agent_name="scripted")
        await socket.until("reasoning_complete")


@pytest.mark.parametrize(
    "frame", ["nonsense", '{"type":"ping"}', '{"type":"chat","payload":{"message":""}}']
)
async def test_who_reads_no_answers_is_hung_up_on_whatever_the_answer(
    frame: str,
) -> None:
    codes: list[int] = []

    class Unread:
        def reply(self, _text: str) -> None:
            raise TooSlowError

        def close(self) -> None:
            pass

    class Consumer(ChatConsumer):
        closed = False
        bad_frames = 0
        frames = 0
        waits_for_token = None

        def __init__(self) -> None:
            super().__init__()
            self.outbox: Any = Unread()

        async def close(self, code: Any = None, reason: str | None = None) -> None:
            assert reason is None
            codes.append(code)

    await Consumer().receive(frame)
    assert codes == [4429]


# ---------------------------------------------------------------- dropped sockets


@pytest.mark.parametrize("server", SERVERS)
async def test_twenty_killed_sockets_change_nothing(sites: Sites, server: str) -> None:
    site = sites.get(server)
    person, session_id = Person(site.url), uuid4()
    async with (
        person.watch([site.url], session_id) as dropped,
        person.watch([site.url], session_id) as steady,
    ):
        dropped.ask("[stream tokens=400 rate=100]", "a")
        for _ in range(20):
            seq = last_seq(dropped)
            await dropped.until(newer(dropped, seq), 20)
            connections = dropped.connections
            dropped.drop()
            await dropped.until(reconnected(dropped, connections), 20)
        for viewer in (dropped, steady):
            await viewer.until(partial(viewer.reason, 1), 30)
        assert dropped.reason(1) == "answered"
        assert dropped.connections >= 20
        assert dropped.transcript() == steady.transcript()
        assert dropped.text(1) == "".join(f"t{number} " for number in range(400))
        assert len(dropped.runs) == 1
        check_digests(site, session_id, [(1, json.loads(dropped.transcript()[1]))])
    (events,) = site.rows(
        "SELECT count(*) FROM chat_event JOIN chat_run ON run_id = chat_run.id"
        " WHERE session_id = ? AND payload LIKE '%\"run_started\"%'",
        session_id.hex,
    )
    assert events == (1,)


def last_seq(viewer: Viewer) -> int:
    return viewer.runs[1].seq if 1 in viewer.runs else 0


def newer(viewer: Viewer, seq: int) -> Callable[[], bool]:
    return lambda: last_seq(viewer) > seq or viewer.reason(1) is not None


def reconnected(viewer: Viewer, connections: int) -> Callable[[], bool]:
    return lambda: viewer.connections > connections
