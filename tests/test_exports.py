"""A chat as a file: whole, readable, and nobody else's."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chat import exports, store
from chat.access import Identity
from chat.markdown.html import render
from chat.models import Run, Session
from chat.store import exporting, importing
from chat.wire.protocol import StepView, decode_events
from chat.wire.transcript import fold, view
from tests.rows import STRANGER, answer, ask, finish, log_of, running_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Identity:
    user = User.objects.create_user("ada", password="secret")
    client.force_login(user)
    return Identity(user.pk, "")


def test_json_is_the_log_and_folds_to_what_the_page_shows(
    client: Client, ada: Identity
) -> None:
    run = running_run(who=ada)
    answer(run, "Hm…", type_="thought")
    answer(run, "42 </script>\u2028")
    finish(run)
    response = client.get(f"/api/sessions/{run.session_id}/export", {"as": "json"})
    assert response["Content-Disposition"] == 'attachment; filename="Hi.json"'
    assert response["X-Content-Type-Options"] == "nosniff"
    found = json.loads(response.content)
    assert (found["format"], found["version"]) == (exports.FORMAT, exports.VERSION)
    assert found["session"] == {"title": "Hi", "agent_name": "researcher"}
    (exported,) = found["runs"]
    events = decode_events(json.dumps(exported["events"]))
    ((shown,), _) = store.latest_runs(run.session_id, 1)
    folded = view(fold(exported["run"], events))
    assert [step.content for step in folded.steps] == ["Hm…", "42 </script>\u2028"]
    assert (folded.seq, folded.reason) == (shown.seq, shown.reason)
    assert [step.digest for step in folded.steps] == [
        step.digest for step in shown.steps
    ]


def test_in_markdown_nothing_passes_for_something_else(
    client: Client, ada: Identity
) -> None:
    run = running_run(who=ada)
    answer(run, "# no heading", type_="thought")
    answer(run, "````\n# no heading\n```", type_="tool_result")
    answer(run, "**42**\n~~~~py\n~~~\n")
    finish(run, "stopped")
    ask(run.session_id, ada, prompt="And\n## no heading?")
    response = client.get(f"/api/sessions/{run.session_id}/export", {"as": "markdown"})
    text = response.content.decode()
    assert response["Content-Type"] == "text/markdown; charset=utf-8"
    headings = [line for line in text.splitlines() if line.startswith("##")]
    assert headings == [
        "## Question 1",
        "### Thought",
        "### Result of a tool",
        "### Answer by researcher",
        "## Question 2",
    ]
    assert "<strong>42</strong>" in render(text)
    assert "Question 2</h" in render(text)  # a heading, not the end of some code
    assert "*Ended: stopped.*" in text
    assert text.endswith("> ## no heading?\n\n*Not finished.*\n")


def brought(client: Client, data: Any) -> Any:
    """What answers the import of this."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return client.post("/api/sessions", text, content_type="application/json")


def test_what_was_exported_comes_back_as_a_chat_of_whoever_brings_it(
    client: Client, ada: Identity
) -> None:
    run = running_run(who=ada)
    answer(run, "Hm…", type_="thought")
    answer(run, "4" * 40_000)
    finish(run)
    ask(run.session_id, ada, prompt="And now?")
    path = f"/api/sessions/{run.session_id}/export"
    exported = client.get(path, {"as": "json"}).content
    bob = User.objects.create_user("bob")
    client.force_login(bob)
    response = brought(client, exported)
    assert response.status_code == 201
    session = Session.objects.get(id=response.json()["session_id"])
    assert (session.owner_id, session.title, session.pk != run.session_id) == (
        bob.pk,
        "Hi",
        True,
    )
    first, second = Run.objects.filter(session=session)
    assert (first.reason, second.reason) == ("answered", "withdrawn")
    shown, _ = store.latest_runs(session.pk, 2)
    for row, view_ in zip((first, second), shown, strict=True):
        folded = view(fold(row.number, log_of(row.pk)))
        assert [*map(facts, folded.steps)] == [*map(facts, view_.steps)]
        assert (folded.seq, folded.epoch, folded.reason) == (
            view_.seq,
            view_.epoch,
            view_.reason,
        )
    again = client.get(f"/api/sessions/{session.pk}/export", {"as": "markdown"})
    assert b"\n\n" + b"4" * 40_000 in again.content
    assert store.compact(first.pk)
    assert store.recall(second).exchanges[0].prompt == "Hi"


def facts(step: StepView) -> tuple[Any, ...]:
    return step.step, step.type, step.content, step.status, step.digest


RUN: Final[dict[str, Any]] = {
    "run": 7,
    "events": [
        {
            "kind": "run_created",
            "seq": 1,
            "prompt": "Hi",
            "agent_name": "x" * 99,
            "enable_reasoning": True,
            "timestamp": 1e9,
        },
        {
            "kind": "step_started",
            "seq": 2,
            "step": 3,
            "type": "tool_use",
            "iteration": 1,
            "timestamp": 1e9,
            "tool_name": "\x00" * 300,
        },
        {"kind": "step_delta", "seq": 3, "step": 3, "text": "\x00<script>"},
    ],
}


def file(*runs: Any, **more: Any) -> dict[str, Any]:
    return {
        "format": "reasoning-site-chat",
        "version": 1,
        "session": {"title": "\x00" + "t" * 999, "agent_name": "nobody"},
        "runs": runs,
        **more,
    }


def changed(number: int, **more: Any) -> dict[str, Any]:
    """RUN, with one of its events as it must not be."""
    events = list(RUN["events"])
    events[number] = events[number] | more
    return RUN | {"events": events}


def test_what_a_stranger_wrote_is_made_storable(client: Client, ada: Identity) -> None:
    """A step that was open is stopped, and whatever was too long is cut."""
    response = brought(client, file(RUN))
    assert response.status_code == 201, response.content
    (run,) = Run.objects.filter(session=response.json()["session_id"])
    (step,) = run.steps.all()
    assert (step.status, step.content, len(step.tool_name)) == (
        "stopped",
        "\ufffd<script>",
        200,
    )
    assert (run.number, run.reason, len(run.agent_name)) == (1, "stopped", 64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"a":' * 100_000,
        file(format="another"),
        file(version=2),
        file({"run": 1, "events": []}),
        file(changed(0, prompt="")),
        file(changed(0, prompt="x" * 32_001)),
        file(changed(0, timestamp=-1)),
        file(changed(0, timestamp=1e300)),
        file(changed(1, step=2**40)),
        file(changed(1, iteration=-1)),
        file(changed(1, type="<script>")),
        file(changed(2, step=9)),
        file(changed(2, seq=9)),
    ],
)
def test_what_is_no_log_is_refused(client: Client, ada: Identity, data: Any) -> None:
    response = brought(client, data)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_message"
    assert not Session.objects.exists()


def test_too_much_at_once_is_refused_before_it_is_stored(
    client: Client, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_STEPS", 0)
    assert brought(client, file(RUN)).status_code == 413
    monkeypatch.setattr(exports, "MAX_JSON_BYTES", 10)
    assert brought(client, file()).status_code == 413
    assert not Session.objects.exists()


@pytest.mark.parametrize("as_", ["markdown", "json"])
def test_nobody_exports_what_is_somebody_elses(
    client: Client, ada: Identity, as_: str
) -> None:
    theirs = uuid4()
    ask(theirs, STRANGER)
    deleted = uuid4()
    ask(deleted, ada)
    store.delete_session(deleted, ada)
    for session_id in (theirs, deleted, uuid4()):
        path = f"/api/sessions/{session_id}/export"
        assert client.get(path, {"as": as_}).status_code == 404


def test_other_formats_and_too_much_are_refused(
    client: Client, ada: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running_run(who=ada)
    answer(run, "12345")
    path = f"/api/sessions/{run.session_id}/export"
    assert client.get(path, {"as": "exe"}).status_code == 400
    assert client.get(path).status_code == 400
    monkeypatch.setattr(exporting, "MAX_EXPORT_CHARS", 4)
    answered = client.get(path, {"as": "json"})
    assert answered.status_code == 413
    assert answered.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("What is love?", "What-is-love.json"),
        ("../../etc/passwd\r\nX: y", "etc-passwd-X-y.json"),
        ('"; filename=a.exe', "filename-a-exe.json"),
        ("你好，世界", "你好-世界.json"),
        ("?!", "chat.json"),
    ],
)
def test_a_title_makes_a_harmless_name(title: str, name: str) -> None:
    assert exports.file_name(title, "json") == name
