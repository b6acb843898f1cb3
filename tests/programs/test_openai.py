"""The official client of OpenAI's API talks to the site's agents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseStreamEvent, ResponseTextDeltaEvent

from tests.client import Person
from tests.model_server.process import ModelServer
from tests.programs.conftest import Program
from tests.servers import Site


@pytest.fixture
def person(program: Program) -> Person:
    return program.person


@pytest.fixture
def client(site: Site, program: Program) -> Iterator[OpenAI]:
    with client_of(site, program.token) as client:
        yield client


def client_of(site: Site, token: str) -> OpenAI:
    return OpenAI(base_url=f"{site.url}/v1", api_key=token, max_retries=0)


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def test_the_agents_are_its_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "researcher" in names
    assert client.models.retrieve("researcher").id == "researcher"
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.models.retrieve("nobody")


def test_an_answer_comes_whole(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="researcher", messages=[user("Hi")])
    (choice,) = answer.choices
    assert choice.finish_reason == "stop"
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_an_answer_streams_with_its_thoughts(client: OpenAI) -> None:
    texts = {"content": "", "reasoning_content": ""}
    reasons = []
    for chunk in client.chat.completions.create(
        model="researcher",
        messages=[user("[stream thought=5 tokens=20 rate=200]")],
        stream=True,
        stream_options={"include_usage": True},
    ):
        for choice in chunk.choices:
            for field in texts:
                texts[field] += getattr(choice.delta, field, None) or ""
            reasons.append(choice.finish_reason)
    assert texts["reasoning_content"].startswith("t0 ")
    assert texts["content"].startswith("a0 ") or texts["content"]
    assert reasons[-1] == "stop"
    assert chunk.usage is not None


async def test_a_conversation_that_is_sent_again_goes_on_in_its_session(
    site: Site, person: Person, client: OpenAI
) -> None:
    messages = [user("One")]
    ids = set()
    for text in ("Two", "Three", ""):
        raw = client.chat.completions.with_raw_response.create(
            model="researcher", messages=messages
        )
        ids.add(raw.headers["x-session-id"])
        answer = raw.parse().choices[0].message.content
        messages += [{"role": "assistant", "content": answer}, user(text)]
    (session_id,) = ids
    async with person.watch([site.url], UUID(session_id)) as viewer:
        await viewer.until(lambda: viewer.reason(3), 20, "all three are there")
        assert [run.prompt for run in viewer.runs.values()] == ["One", "Two", "Three"]


async def test_a_conversation_from_elsewhere_is_a_chat_with_all_of_it(
    site: Site, person: Person, client: OpenAI, model: ModelServer
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="researcher",
        messages=[
            {"role": "system", "content": "Be brief."},
            user("What is it?"),
            {"role": "assistant", "content": "A cat."},
            user("Which colour?"),
        ],
    )
    session_id = UUID(raw.headers["x-session-id"])
    said = [
        message["content"] for message in model.requests()[-1]["request"]["messages"]
    ]
    assert said[-3:] == ["What is it?", "A cat.", "Be brief.\n\nWhich colour?"]
    async with person.watch([site.url], session_id) as viewer:
        await viewer.until(lambda: viewer.reason(2), 20, "both are there")
        assert viewer.text(1) == "A cat."


def test_a_question_that_is_sent_again_is_not_asked_again(client: OpenAI) -> None:
    answers = [
        client.chat.completions.create(
            model="researcher",
            messages=[user("Once")],
            extra_headers={"Idempotency-Key": "the one"},
        )
        for _ in range(2)
    ]
    assert answers[0].id == answers[1].id


def test_what_cannot_be_met_is_said_as_openai_says_it(client: OpenAI) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="no such agent"):
        create(model="nobody", messages=[user("Hi")])
    with pytest.raises(openai.BadRequestError, match="last message"):
        create(model="researcher", messages=[])
    image: Any = {"type": "image_url", "image_url": {"url": "data:"}}
    with pytest.raises(openai.BadRequestError, match="image_url"):
        create(model="researcher", messages=[{"role": "user", "content": [image]}])
    with pytest.raises(openai.BadRequestError, match="n must be 1"):
        create(model="researcher", messages=[user("Hi")], n=2)
    with pytest.raises(openai.APIStatusError) as failed:
        create(model="researcher", messages=[user("[scenario unauthorized]")])
    assert failed.value.status_code >= 500


def test_a_response_has_the_thought_the_call_and_the_answer(client: OpenAI) -> None:
    response = client.responses.create(
        model="researcher", input="[scenario calculator]"
    )
    assert response.status == "completed"
    assert [item.type for item in response.output] == [
        *("reasoning", "message", "mcp_call"),
        *("reasoning", "message"),
    ]
    call = next(item for item in response.output if item.type == "mcp_call")
    assert (call.name, call.status) == ("calculator", "completed")
    assert call.output
    assert response.output_text


def test_a_response_can_be_fetched_and_followed_from_any_event(client: OpenAI) -> None:
    started = client.responses.create(
        model="researcher",
        input="[stream thought=5 tokens=30 rate=100]",
        background=True,
    )
    assert started.status == "queued"
    whole = list(client.responses.retrieve(started.id, stream=True))
    assert whole[0].type == "response.created"
    assert whole[-1].type == "response.completed"
    done = client.responses.retrieve(started.id)
    assert done.status == "completed"
    text = done.output_text

    def said(events: list[ResponseStreamEvent], until: float = math.inf) -> str:
        return "".join(
            event.delta
            for event in events
            if isinstance(event, ResponseTextDeltaEvent)
            and event.sequence_number <= until
        )

    for event in whole:
        rest = list(
            client.responses.retrieve(
                started.id, stream=True, starting_after=event.sequence_number
            )
        )
        told = said(whole, event.sequence_number)
        assert told + said(rest) == text


def test_a_response_can_be_cancelled_and_gone_on_from(client: OpenAI) -> None:
    first = client.responses.create(
        model="researcher", input="[stream tokens=2000 rate=20]", background=True
    )
    assert client.responses.cancel(first.id).status == "cancelled"
    second = client.responses.create(
        model="researcher", input="Hello", previous_response_id=first.id
    )
    assert second.status == "completed"
    assert second.id.split("_")[1] == first.id.split("_")[1]


def test_nobody_reads_anothers_response(
    site: Site, client: OpenAI, other_program: Program
) -> None:
    mine = client.responses.create(model="researcher", input="Hello")
    with (
        client_of(site, other_program.token) as other,
        pytest.raises(openai.NotFoundError),
    ):
        other.responses.retrieve(mine.id)
    with (
        client_of(site, "rst_wrong") as stranger,
        pytest.raises(openai.AuthenticationError, match="access token"),
    ):
        stranger.models.list()
