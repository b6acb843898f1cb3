"""The page: for whom it is, and what it hands to the scripts."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.views.defaults import server_error
from pytest_django import Settings

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
    cookie = client.cookies[settings.GUEST_COOKIE_NAME]
    key = cookie.value.split(":")[0]
    client.get("/")
    assert client.cookies[settings.GUEST_COOKIE_NAME].value == cookie.value
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
    assert answer["Location"] == "/sign-in?next=/"
    client.force_login(ada)
    assert client.get("/").status_code == 200


def sign_in(client: Client, **fields: str) -> Any:
    return client.post("/sign-in", {"username": "ada", "password": "secret", **fields})


def test_anybody_with_an_account_signs_in_and_out(client: Client, ada: User) -> None:
    assert not ada.is_staff
    page = client.get("/sign-in?next=/chat/x").content.decode()
    assert 'name="next" value="/chat/x"' in page
    answer = sign_in(client, next="/chat/x")
    assert (answer.status_code, answer["Location"]) == (302, "/chat/x")
    page = client.get("/").content.decode()
    assert "Sign out" in page
    assert "ada" in page
    assert client.get("/sign-out").status_code == 405
    assert client.get("/").context["user"] == ada
    assert client.post("/sign-out")["Location"] == "/sign-in"
    page = client.get("/").content.decode()
    assert "Sign out" not in page
    assert "Guest" in page


def test_who_does_not_sign_in_is_told_why_and_keeps_the_name(
    client: Client, ada: User
) -> None:
    for password in ("wrong", ""):
        answer = sign_in(client, password=password, next="/chat/x")
        assert answer.status_code == 200
        page = answer.content.decode()
        assert 'role="alert"' in page
        assert 'value="ada"' in page
        assert 'name="next" value="/chat/x"' in page
        assert "no-store" in answer["Cache-Control"]
    ada.is_active = False
    ada.save()
    assert 'role="alert"' in sign_in(client).content.decode()


@pytest.mark.parametrize(
    "address", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""]
)
def test_signing_in_leads_nowhere_else(client: Client, ada: User, address: str) -> None:
    assert "evil" not in client.get("/sign-in", {"next": address}).content.decode()
    assert sign_in(client, next=address)["Location"] == "/"


@pytest.mark.parametrize("address", ["/sign-in", "/sign-in?next=/sign-in", "/x"])
def test_who_is_signed_in_goes_on_at_once(
    client: Client, ada: User, address: str
) -> None:
    client.force_login(ada)
    answer = client.get("/sign-in", {"next": address}, follow=True)
    assert len(answer.redirect_chain) <= 2
    assert answer.request["PATH_INFO"] in {"/", "/x"}


def test_signing_in_and_out_is_checked_for_forgery(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    assert sign_in(client).status_code == 403
    client.force_login(ada)
    answer = client.post("/sign-out")
    assert answer.status_code == 403
    assert "open for too long" in answer.content.decode()
    token = handed_token(client.get("/"))
    assert client.post("/sign-out", token).status_code == 302


def handed_token(answer: Any) -> dict[str, str]:
    (token,) = re.findall(
        r'name="csrfmiddlewaretoken" value="(\w+)"', answer.content.decode()
    )
    return {"csrfmiddlewaretoken": token}


def test_guests_find_the_way_back_where_there_are_any(
    client: Client, settings: Settings
) -> None:
    assert "as a guest" in client.get("/sign-in").content.decode()
    settings.ALLOW_GUESTS = False
    assert "as a guest" not in client.get("/sign-in").content.decode()


def test_the_link_to_sign_in_leads_back_to_the_chat(client: Client) -> None:
    answer = client.get("/")
    config = handed(answer, "session_id")
    assert config["login_url"] == "/sign-in"
    address = f"/sign-in?next=/chat/{config['session_id']}"
    assert f'href="{address}"' in answer.content.decode()


def test_the_page_may_be_read_only_and_is_never_kept(client: Client) -> None:
    assert client.post("/").status_code in {403, 405}
    assert client.head("/").status_code == 200
    answer = client.get("/")
    assert "no-store" in answer["Cache-Control"]
    assert settings.CSRF_COOKIE_NAME in answer.cookies


@pytest.mark.parametrize("path", ["/", "/sign-in"])
def test_nothing_on_the_page_runs_but_our_files(client: Client, path: str) -> None:
    answer = client.get(path)
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


def test_pages_that_name_no_icon_have_one(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert answer.status_code == 302
    assert "icon" in answer["Location"]
    assert answer["Location"].endswith(".svg")


def test_what_is_not_there_is_said_on_a_page_of_the_site(client: Client) -> None:
    """With a way on, for a guest also the way to sign in; whatever was asked for."""
    for path in (f"/chat/{uuid4()}/nothing", "/no-such-page"):
        answer = client.get(path)
        assert answer.status_code == 404
        page = answer.content.decode()
        assert "There is nothing here" in page
        assert 'class="wordmark" href="/"' in page
        assert f"/sign-in?next={path}" in page


def test_an_error_of_the_site_has_a_page_that_needs_nothing(rf: RequestFactory) -> None:
    """No database, no request: they may be what is broken."""
    answer = server_error(rf.get("/"))
    assert answer.status_code == 500
    page = answer.content.decode()
    assert "Something went wrong here" in page
    assert "Try again" in page
    assert "Traceback" not in page
