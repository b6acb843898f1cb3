"""The list of sessions over HTTP: one's own, same origin, whatever comes in."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from chat import runtime
from chat.access import Act
from chat.models import Session
from chat.store import Identity, sessions
from tests.rows import ask, running_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def hers(ada: User) -> UUID:
    """A session of Ada's."""
    session_id = uuid4()
    ask(session_id, Identity(ada.pk, ""), prompt="What is love?")
    return session_id


@pytest.fixture
def signed_in(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def listed(client: Client, **query: str) -> Any:
    answer = client.get("/api/sessions", query)
    assert answer.status_code == 200
    return answer.json()


def patch(client: Client, session_id: object, body: object, **headers: Any) -> Any:
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    path = f"/api/sessions/{session_id}"
    return client.patch(path, text, content_type="application/json", **headers)


def test_a_user_sees_her_sessions(signed_in: Client, hers: UUID) -> None:
    found = listed(signed_in)
    assert found["next"] is None
    (session,) = found["sessions"]
    assert isinstance(session.pop("timestamp"), float)
    assert session == {
        "session_id": str(hers),
        "title": "What is love?",
        "agent_name": "researcher",
        "pinned": False,
        "archived": False,
        "status": "queued",
        "reason": None,
        "finished": None,
    }


def test_lists_are_searched_and_paged(signed_in: Client, hers: UUID) -> None:
    assert len(listed(signed_in, q=" LOVE ")["sessions"]) == 1
    assert listed(signed_in, q="hate")["sessions"] == []
    assert listed(signed_in, archived="1")["sessions"] == []
    assert listed(signed_in, before="50")["sessions"] == []


@pytest.mark.parametrize("query", ["\x00", "%", "_", "'", "\\", "x" * 10_000, "👩‍👩‍👧"])
def test_anything_can_be_searched_for(signed_in: Client, query: str) -> None:
    assert signed_in.get("/api/sessions", {"q": query}).status_code in {200, 400}


@pytest.mark.parametrize("before", ["x", "-1", "1e3", "9" * 30, "9" * 5000])
def test_a_cursor_that_is_none_is_a_bad_request(signed_in: Client, before: str) -> None:
    answer = signed_in.get("/api/sessions", {"before": before})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_message"


@pytest.mark.parametrize("limit", ["0", "-1", "501", "x", "9" * 5000])
def test_a_limit_out_of_range_is_a_bad_request(signed_in: Client, limit: str) -> None:
    assert signed_in.get("/api/sessions", {"limit": limit}).status_code == 400


def test_a_guest_sees_what_is_the_guests(client: Client, hers: UUID) -> None:
    assert listed(client)["sessions"] == []
    client.get("/", headers={"accept": "text/html"})
    key = client.cookies[settings.GUEST_COOKIE_NAME].value.split(":")[0]
    own = uuid4()
    ask(own, Identity(None, key))
    assert [s["session_id"] for s in listed(client)["sessions"]] == [str(own)]
    assert listed(Client())["sessions"] == []


def test_somebody_elses_session_is_not_there(client: Client, hers: UUID) -> None:
    path = f"/api/sessions/{hers}"
    for answer in (
        patch(client, hers, {"title": "Mine"}),
        client.delete(path),
        client.post(f"{path}/restore"),
        patch(client, uuid4(), {"title": "Mine"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
    assert Session.objects.get(id=hers).title == "What is love?"


def test_without_guests_one_must_sign_in(
    client: Client, hers: UUID, settings: Settings
) -> None:
    settings.ALLOW_GUESTS = False
    for answer in (
        client.get("/api/sessions"),
        patch(client, hers, {"title": "Mine"}),
        client.delete(f"/api/sessions/{hers}"),
    ):
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "forbidden"


def test_renaming_pinning_and_archiving(signed_in: Client, hers: UUID) -> None:
    answer = patch(signed_in, hers, {"title": "Love <b>", "pinned": True})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["pinned"]) == ("Love <b>", True)
    assert patch(signed_in, hers, {"archived": True}).json()["archived"] is True
    assert listed(signed_in)["sessions"] == []
    assert len(listed(signed_in, archived="1")["sessions"]) == 1
    assert patch(signed_in, hers, {}).status_code == 200


def test_what_changed_meanwhile_stays_changed(
    signed_in: Client, hers: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = sessions.required_session

    def find_and_wait(session_id: UUID, who: Identity, act: Act) -> Session:
        found = find(session_id, who, act)
        Session.objects.filter(id=session_id).update(title="Meanwhile", archived=True)
        return found

    monkeypatch.setattr(sessions, "required_session", find_and_wait)
    answer = patch(signed_in, hers, {"pinned": True})
    assert answer.json()["title"] == "Meanwhile"
    session = Session.objects.get(id=hers)
    assert (session.title, session.archived) == ("Meanwhile", True)
    assert session.pinned is True


def test_a_change_answers_what_the_list_says(signed_in: Client, ada: User) -> None:
    run = running_run(who=Identity(ada.pk, ""))
    answer = patch(signed_in, run.session_id, {"pinned": True})
    assert answer.json()["status"] == "running"
    assert answer.json() == listed(signed_in)["sessions"][0]


def test_deleting_and_restoring(signed_in: Client, hers: UUID) -> None:
    path = f"/api/sessions/{hers}"
    assert signed_in.delete(path).status_code == 204
    assert listed(signed_in)["sessions"] == []
    assert signed_in.delete(path).status_code == 404
    assert patch(signed_in, hers, {"pinned": True}).status_code == 404
    assert signed_in.post(f"{path}/restore").status_code == 200
    assert len(listed(signed_in)["sessions"]) == 1


def test_whoever_drives_what_is_deleted_is_told(
    signed_in: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = running_run(who=Identity(ada.pk, ""))
    here = Mock()
    monkeypatch.setattr(runtime, "call_soon", lambda act: act(here))
    assert signed_in.delete(f"/api/sessions/{run.session_id}").status_code == 204
    here.scheduler.give_up_everywhere.assert_called_once_with([run.pk])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "null",
        "[]",
        b"\xff\xfe",
        {"title": ""},
        {"title": "x" * 201},
        {"title": 7},
        {"title": None},
        {"pinned": "yes"},
        {"archived": 1},
        {"owner": 1},
        {"deleted_at": None},
        '{"title":"\\ud800"}',
        '{"title":' + "[" * 100_000,
        '{"pinned":true,"pinned":[[' + "[" * 100_000,
    ],
    ids=str,
)
def test_bad_changes_are_refused_and_change_nothing(
    signed_in: Client, hers: UUID, body: object
) -> None:
    answer = patch(signed_in, hers, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_message"
    session = Session.objects.get(id=hers)
    assert (session.title, session.pinned) == ("What is love?", False)


def test_nothing_changes_without_the_csrf_token(ada: User, hers: UUID) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    path = f"/api/sessions/{hers}"
    for answer in (
        patch(client, hers, {"title": "Forged"}),
        client.delete(path),
        client.post(f"{path}/restore"),
    ):
        assert answer.status_code == 403
    client.get("/")
    token = client.cookies[settings.CSRF_COOKIE_NAME].value
    changed = patch(client, hers, {"title": "Mine"}, headers={"X-CSRFToken": token})
    assert changed.status_code == 200
    assert Session.objects.get(id=hers).title == "Mine"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/api/sessions"),
        ("get", "/api/sessions/{}"),
        ("put", "/api/sessions/{}"),
        ("get", "/api/sessions/{}/restore"),
    ],
)
def test_other_methods_are_not_allowed(
    signed_in: Client, hers: UUID, method: str, path: str
) -> None:
    assert getattr(signed_in, method)(path.format(hers)).status_code == 405


def test_no_answer_is_kept_by_caches(signed_in: Client) -> None:
    assert "no-store" in signed_in.get("/api/sessions")["Cache-Control"]


def test_what_is_no_uuid_is_not_found(signed_in: Client) -> None:
    assert signed_in.delete("/api/sessions/nonsense").status_code == 404
