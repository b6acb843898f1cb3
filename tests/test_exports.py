"""A chat as a file: whole, readable, and nobody else's."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chat import exports, store
from chat.access import Identity
from chat.markdown.html import render
from chat.store import exporting
from chat.wire.protocol import decode_events
from chat.wire.transcript import fold, view
from tests.rows import STRANGER, answer, ask, finish, running_run

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
