"""The page: for whom it is, and what it hands to the scripts."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from chat.identity import GUEST_KEY
from chat.store import Identity
from tests.rows import ask

pytestmark = pytest.mark.django_db

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'\"`"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def hers(ada: User) -> UUID:
    """A session of Ada's, with a hostile prompt."""
    session_id = uuid4()
    ask(session_id, Identity(ada.pk, ""), prompt=HOSTILE)
    return session_id


def scripts(answer: Any) -> dict[str, Any]:
    """The JSON that the page hands on, by id."""
    found = re.findall(
        r'<script id="([\w-]+)" type="application/json">(.*?)</script>',
        answer.content.decode(),
        re.DOTALL,
    )
    return {name: json.loads(text) for name, text in found}


def handed(answer: Any, key: str) -> Any:
    """The script that has this key."""
    (one,) = [data for data in scripts(answer).values() if key in data]
    return one


def test_the_first_page_is_a_new_session(client: Client) -> None:
    config = handed(client.get("/"), "session_id")
    assert config["new"] is True
    assert config["ws_path"] == f"/ws/chat/{config['session_id']}"
    assert UUID(config["session_id"]).version == 4
    assert [agent["name"] for agent in config["agents"]] == ["researcher", "assistant"]
    assert config["agent_name"] == "researcher"
    other = handed(client.get("/"), "session_id")
    assert other["session_id"] != config["session_id"]


def test_a_guest_gets_a_key_and_keeps_it() -> None:
    client = Client(headers={"accept": "text/html"})
    client.get("/")
    key = client.session[GUEST_KEY]
    client.get("/")
    assert client.session[GUEST_KEY] == key
    cookie = client.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert key not in client.get("/").content.decode()


def test_a_session_is_shown_to_its_owner_with_its_runs(
    client: Client, ada: User, hers: UUID
) -> None:
    client.force_login(ada)
    answer = client.get(f"/chat/{hers}")
    assert answer.status_code == 200
    snapshot = handed(answer, "runs")
    assert [run["prompt"] for run in snapshot["runs"]] == [HOSTILE]
    assert handed(answer, "ws_path")["new"] is False


def test_hostile_text_stays_text(client: Client, ada: User, hers: UUID) -> None:
    client.force_login(ada)
    page = client.get(f"/chat/{hers}").content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_somebody_elses_session_is_not_there(client: Client, hers: UUID) -> None:
    assert client.get(f"/chat/{hers}").status_code == 404
    client.force_login(User.objects.create_user("bob"))
    assert client.get(f"/chat/{hers}").status_code == 404


def test_a_session_that_is_nobodys_can_be_opened(client: Client) -> None:
    session_id = uuid4()
    answer = client.get(f"/chat/{session_id}")
    assert answer.status_code == 200
    assert handed(answer, "ws_path")["session_id"] == str(session_id)
    assert handed(answer, "runs")["runs"] == []


@pytest.mark.parametrize("path", ["/chat/", "/chat/nonsense", "/chat/1"])
def test_what_is_no_session_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_without_guests_one_is_sent_to_sign_in(
    client: Client, ada: User, settings: Settings
) -> None:
    settings.ALLOW_GUESTS = False
    answer = client.get("/")
    assert answer.status_code == 302
    assert "login" in answer["Location"]
    assert answer["Location"].endswith("?next=/")
    client.force_login(ada)
    assert client.get("/").status_code == 200


def test_the_page_may_be_read_only_and_is_never_kept(client: Client) -> None:
    assert client.post("/").status_code in {403, 405}
    assert client.head("/").status_code == 200
    answer = client.get("/")
    assert "no-store" in answer["Cache-Control"]
    assert "csrftoken" in answer.cookies


def test_nothing_on_the_page_runs_but_our_files(client: Client) -> None:
    answer = client.get("/")
    policy = answer["Content-Security-Policy"]
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy
    page = answer.content.decode()
    inline = re.findall(r"<script(?![^>]*(?:src=|application/json|importmap))", page)
    assert inline == []
    assert re.findall(r"\son\w+\s*=|\sstyle\s*=|<style", page) == []


def test_an_image_from_elsewhere_has_a_page_that_can_do_nothing_else(
    client: Client,
) -> None:
    asked = {"address": 'https://a.example/"><script>', "alt": "<b>"}
    response = client.post("/image", asked)
    html = response.content.decode()
    assert 'src="https://a.example/&quot;&gt;&lt;script&gt;"' in html
    assert "<b>" not in html
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'; img-src http: https:;")
    assert "script-src" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    "address", ["", "javascript:alert(1)", "data:text/html,x", "http://[", "http://℀/"]
)
def test_what_is_no_address_of_an_image_is_refused(
    client: Client, address: str
) -> None:
    assert client.post("/image", {"address": address}).status_code == 400


def test_an_image_is_shown_only_where_somebody_pressed() -> None:
    stranger = Client(enforce_csrf_checks=True)
    assert stranger.get("/image", {"address": "https://a/"}).status_code == 405
    assert stranger.post("/image", {"address": "https://a/"}).status_code == 403
