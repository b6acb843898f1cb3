"""The official MCP client uses the site's agents as tools."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.programs.conftest import Program
from tests.servers import Site


@asynccontextmanager
async def session(site: Site, program: Program) -> AsyncIterator[ClientSession]:
    async with (
        httpx.AsyncClient(headers=program.headers, timeout=60) as http,
        streamable_http_client(f"{site.url}/mcp", http_client=http) as (read, write, _),
        ClientSession(read, write, timedelta(seconds=60)) as session,
    ):
        await session.initialize()
        yield session


async def test_an_agent_is_a_tool_that_tells_its_progress(
    site: Site, program: Program
) -> None:
    told: list[str | None] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        assert (progress, total) == (len(told) + 1, None)
        told.append(message)

    async with session(site, program) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["researcher"].description
        answer = await client.call_tool(
            "researcher", {"prompt": "[scenario calculator]"}, progress_callback=tell
        )
    assert not answer.isError
    assert answer.structuredContent is not None
    assert answer.structuredContent["answer"] == "23 * 47 is 1081."
    assert told == [
        "Thinking",
        "Answering",
        "Calling calculator",
        "Thinking",
        "Answering",
    ]


async def test_a_call_can_go_on_in_a_chat_that_pages_watch(
    site: Site, program: Program
) -> None:
    async with session(site, program) as client:
        first = await client.call_tool("researcher", {"prompt": "One"})
        assert first.structuredContent is not None
        session_id = first.structuredContent["session_id"]
        async with program.person.watch([site.url], UUID(session_id)) as viewer:
            question = {"prompt": "Two", "session_id": session_id}
            await client.call_tool("researcher", question)
            await viewer.until(lambda: viewer.reason(2), 20, "both are there")


async def test_what_fails_is_said_in_the_result(site: Site, program: Program) -> None:
    async with session(site, program) as client:
        failed = await client.call_tool(
            "researcher", {"prompt": "[scenario unauthorized]"}
        )
        assert failed.isError
        empty = await client.call_tool("researcher", {"prompt": " "})
        assert empty.isError
        with pytest.raises(Exception, match="There is no tool"):
            await client.call_tool("nobody", {"prompt": "Hi"})
        with pytest.raises(Exception, match="Bad arguments"):
            await client.call_tool("researcher", {"question": "Hi"})


async def test_who_is_cut_off_is_told_the_rest_and_not_twice(
    site: Site, program: Program
) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {
            "name": "researcher",
            "arguments": {"prompt": "[stream thought=5 tokens=60 rate=60]"},
            "_meta": {"progressToken": "mine"},
        },
    }
    said: list[dict[str, Any]] = []
    last = ""
    async with httpx.AsyncClient(headers=program.headers, timeout=60) as client:
        while not said or "result" not in said[-1]:
            headers = {"Last-Event-ID": last} if last else {}
            request: dict[str, Any] = {"headers": headers}
            if not last:
                request["json"] = call
            method = "GET" if last else "POST"
            async with client.stream(method, f"{site.url}/mcp", **request) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line.startswith("id: "):
                        last = line.removeprefix("id: ")
                    elif line.startswith("data: {"):
                        said.append(json.loads(line.removeprefix("data: ")))
                        break  # cut off after each message
    assert [each.get("params", {}).get("message") for each in said] == [
        "Thinking",
        "Answering",
        None,
    ]
    assert said[-1]["id"] == 7
    assert said[-1]["result"]["content"][0]["text"].split()[-1] == "t59"


async def test_a_call_that_is_cancelled_is_stopped(
    site: Site, program: Program
) -> None:
    headers = program.headers | {"Mcp-Session-Id": "mine"}
    call = {
        "jsonrpc": "2.0",
        "id": "x",
        "method": "tools/call",
        "params": {
            "name": "researcher",
            "arguments": {"prompt": "[stream tokens=3000 rate=20]"},
            "_meta": {"progressToken": 1},
        },
    }
    cancelled = {"method": "notifications/cancelled", "params": {"requestId": "x"}}
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("POST", f"{site.url}/mcp", json=call) as answer,
    ):
        lines = answer.aiter_lines()
        async for line in lines:
            if "Answering" in line:
                break
        assert (await client.post(f"{site.url}/mcp", json=cancelled)).status_code == 202
        async for line in lines:
            if '"result"' in line:
                assert '"reason":"stopped"' in line
                break
        else:
            pytest.fail("there was no result")


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b'{"id": 1, "method": "x"}', 200)]
)
def test_a_bad_message_is_refused(
    site: Site, program: Program, body: bytes, status: int
) -> None:
    answer = httpx.post(f"{site.url}/mcp", content=body, headers=program.headers)
    assert answer.status_code == status
    assert "error" in answer.json()


def test_there_is_nothing_to_listen_to_and_no_page_of_others_comes_in(
    site: Site, program: Program
) -> None:
    headers = program.headers
    assert httpx.get(f"{site.url}/mcp", headers=headers).status_code == 405
    assert httpx.delete(f"{site.url}/mcp", headers=headers).status_code == 405
    evil = headers | {"Origin": "https://evil.example"}
    assert httpx.get(f"{site.url}/mcp", headers=evil).status_code == 403
    bad = headers | {"Last-Event-ID": "bad"}
    assert httpx.get(f"{site.url}/mcp", headers=bad).status_code == 400
