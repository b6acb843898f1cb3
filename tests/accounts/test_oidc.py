"""Single sign-on, with a provider that signs what it says, or lies."""

from __future__ import annotations

import html
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from chat.accounts.oidc import provider_id
from chat.auth.guests import Guest
from chat.models import Session
from chat.store import Identity
from tests.accounts.conftest import PASSWORD
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider
from tests.rows import ask

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with OidcProvider(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider


@pytest.fixture(autouse=True)
def single_sign_on(settings: Settings, provider: OidcProvider) -> None:
    settings.OIDC_ISSUER = provider.url
    settings.OIDC_CLIENT_ID = CLIENT_ID
    settings.OIDC_CLIENT_SECRET = CLIENT_SECRET
    settings.OIDC_NAME = "Our Directory"


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        """Say where to, and do not go there."""


def authorize_address(browser: Client, **fields: str) -> str:
    """Where the page leads that the button leads to."""
    page = browser.post("/sign-in/oidc", fields).content.decode()
    (address,) = re.findall(r'content="0; url=([^"]+)"', page)
    return html.unescape(address)


def sent_back(address: str, name: str) -> str:
    """With what the provider sends somebody back who says that this is their name."""
    opener = urllib.request.build_opener(_Stay())
    with pytest.raises(urllib.error.HTTPError) as redirected:
        opener.open(f"{address}&name={name.replace('+', '%2B')}")
    with redirected.value as answer:
        location = urlsplit(answer.headers["Location"])
    assert location.netloc == "testserver"
    return f"{location.path}?{location.query}"


def come_in(browser: Client, name: str, **fields: str) -> Any:
    return browser.get(sent_back(authorize_address(browser, **fields), name))


def user_of(browser: Client) -> Any:
    return browser.get("/").context["user"]


def test_who_the_provider_vouches_for_has_an_account(browser: Client) -> None:
    """The same one next time; and what they said as a guest is theirs."""
    assert "Sign in with Our Directory" in browser.get("/sign-in").content.decode()
    browser.get("/")
    key = Guest({name: each.value for name, each in browser.cookies.items()}).key
    session_id = uuid4()
    ask(session_id, Identity(None, key))
    answer = come_in(browser, "bob", next=f"/chat/{session_id}")
    assert answer.headers["Location"] == f"/chat/{session_id}"
    bob = User.objects.get()
    assert (bob.username, bob.email) == ("bob", "bob@site.example")
    assert not bob.has_usable_password()
    assert not bob.is_staff
    assert user_of(browser) == bob
    assert Session.objects.get(id=session_id).owner == bob
    assert "Our Directory" in browser.get("/account").content.decode()
    again = Client()
    assert come_in(again, "bob").headers["Location"] == "/"
    assert user_of(again) == bob
    assert mail.outbox == []


def test_it_asks_for_no_more_than_it_needs(
    browser: Client, provider: OidcProvider
) -> None:
    """Whatever the request says; and nothing is kept that opens anything."""
    asked = browser.post(
        "/sign-in/oidc?scope=admin&auth_params=prompt%3Dnone&process=connect"
    ).content.decode()
    (address,) = re.findall(r'content="0; url=([^"]+)"', asked)
    query = parse_qs(urlsplit(html.unescape(address)).query)
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}
    assert query["code_challenge_method"] == ["S256"]
    assert "prompt" not in query
    assert CLIENT_SECRET not in address
    come_in(browser, "bob")
    kept = str(SocialAccount.objects.get().extra_data)
    assert "token" not in kept


@pytest.mark.parametrize(
    "lie", ["iss", "aud", "exp", "forged", "unsigned", "symmetric", "stranger"]
)
def test_a_provider_that_lies_is_not_believed(
    browser: Client, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = come_in(browser, f"bob+{lie}")
    assert answer.status_code == 401
    assert "That did not work" in answer.content.decode()
    assert not User.objects.exists()
    assert "nobody came in by single sign-on" in caplog.text


def test_who_comes_back_without_having_gone_is_not_let_in(
    browser: Client, ada: User
) -> None:
    """Another's code is nobody's, and each is good once."""
    address = sent_back(authorize_address(Client()), "eve")
    assert browser.get(address).status_code == 401
    mine = sent_back(authorize_address(browser), "bob")
    code = parse_qs(urlsplit(address).query)["code"][0]
    state = parse_qs(urlsplit(mine).query)["state"][0]
    path = urlsplit(mine).path
    assert browser.get(f"{path}?code={code}&state={state}").status_code == 401
    assert browser.get(mine).status_code == 401
    assert not user_of(browser).is_authenticated


def test_who_has_changed_their_mind_is_back_at_the_door(browser: Client) -> None:
    address = authorize_address(browser)
    state = parse_qs(urlsplit(address).query)["state"][0]
    answer = browser.get(f"/sign-in/oidc/callback?error=access_denied&state={state}")
    assert answer.headers["Location"] == "/sign-in"


def test_an_account_made_by_others_is_met_by_its_address(
    browser: Client, ada: User
) -> None:
    """It keeps its password."""
    come_in(browser, "ada")
    assert user_of(browser) == ada
    come_in(Client(), "ada")
    assert User.objects.get() == ada
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_an_address_that_somebody_says_is_theirs_meets_nobody(
    browser: Client, ada: User
) -> None:
    """Nor does it keep its owner out."""
    eve = User.objects.create_user("eve", "bob@site.example")
    EmailAddress.objects.create(user=eve, email="bob@site.example", verified=False)
    EmailAddress.objects.create(user=ada, email="bob@site.example", verified=False)
    come_in(browser, "bob")
    bob = user_of(browser)
    assert (bob.username, bob.email) == ("bob", "")


@pytest.mark.parametrize("how", ["unverified", "words", "silent"])
def test_an_address_that_is_not_verified_counts_for_nothing(
    browser: Client, ada: User, how: str
) -> None:
    come_in(browser, f"ada+{how}")
    user = user_of(browser)
    assert user.is_authenticated
    assert user != ada
    assert user.email == ""
    assert user.username != "ada"


def test_another_providers_people_are_other_people(
    browser: Client, settings: Settings
) -> None:
    first = provider_id()
    settings.OIDC_ISSUER = "https://another.example"
    assert provider_id() != first


def test_who_is_switched_off_stays_so(browser: Client, ada: User) -> None:
    ada.is_active = False
    ada.save()
    answer = come_in(browser, "ada")
    assert answer.status_code == 403
    assert "switched off" in answer.content.decode()
    assert not user_of(browser).is_authenticated


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9", "{}/nowhere"])
def test_a_provider_that_is_away_is_said(
    browser: Client, settings: Settings, provider: OidcProvider, issuer: str
) -> None:
    settings.OIDC_ISSUER = issuer.format(provider.url)
    answer = browser.post("/sign-in/oidc")
    assert answer.status_code == 401
    assert "That did not work" in answer.content.decode()


def test_without_a_provider_there_is_no_such_door(
    browser: Client, settings: Settings
) -> None:
    settings.OIDC_ISSUER = ""
    assert browser.post("/sign-in/oidc").status_code == 404
    assert browser.get("/sign-in/oidc/callback").status_code == 404
    assert "Sign in with" not in browser.get("/sign-in").content.decode()


def test_a_form_of_another_site_begins_nothing() -> None:
    stranger = Client(enforce_csrf_checks=True)
    assert stranger.post("/sign-in/oidc").status_code == 403
    assert stranger.get("/sign-in/oidc").status_code == 405
