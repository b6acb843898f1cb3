"""Accounts of one's own: made, proved to be somebody's, and kept."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from pytest_django import Settings

from chat.auth.guessing import FREE_BY_NAME
from chat.auth.guests import Guest
from chat.models import Session
from chat.store import Identity
from tests.accounts.conftest import PASSWORD, link_in_the_last_letter
from tests.rows import ask

pytestmark = pytest.mark.django_db

NEW = "quite another secret"


def sign_in(client: Client, password: str = PASSWORD, name: str = "ada") -> Any:
    return client.post("/sign-in", {"username": name, "password": password})


def sign_up(client: Client, name: str = "bob", **fields: str) -> Any:
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return client.post("/sign-up", {"username": name, **passwords, **fields})


def speak(browser: Client) -> Any:
    """Ask something as a guest. Returns the session's id."""
    browser.get("/")
    key = Guest({name: each.value for name, each in browser.cookies.items()}).key
    session_id = uuid4()
    ask(session_id, Identity(None, key))
    return session_id


def is_user(client: Client) -> bool:
    return bool(client.get("/").context["user"].is_authenticated)


# ---------------------------------------------------------------- what is offered


@pytest.mark.parametrize(
    "path",
    [
        *("/sign-up", "/sign-up/sent", "/sign-in/reset", "/sign-in/reset/sent"),
        *("/sign-in/reset/1-key", "/email/key", "/account/email"),
    ],
)
def test_what_is_not_offered_is_not_there(browser: Client, path: str) -> None:
    assert browser.get(path).status_code == 404
    assert browser.post(path, {"email": "ada@site.example"}).status_code == 404
    page = browser.get("/sign-in").content.decode()
    assert f'"{path}"' not in page


def test_the_form_names_what_is_offered(
    browser: Client, mailing: None, settings: Settings
) -> None:
    settings.ALLOW_SIGNUP = True
    page = browser.get("/sign-in?next=/chat/x").content.decode()
    assert 'href="/sign-up?next=%2Fchat%2Fx"' in page
    assert 'href="/sign-in/reset"' in page
    assert "Ask whoever runs this site" not in page


@pytest.mark.parametrize("path", ["/account", "/account/password", "/sign-in/again"])
def test_guests_have_no_account(browser: Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.headers["Location"] == f"/sign-in?next={path}"


def test_a_page_of_the_account_names_the_others(
    browser: Client, ada: User, mailing: None
) -> None:
    browser.force_login(ada)
    page = browser.get("/account").content.decode()
    for path in ("/account/password", "/account/email"):
        assert f'href="{path}"' in page
        there = browser.get(path).content.decode()
        assert f'href="{path}" aria-current="page"' in there
        assert 'href="/account"' in there


# ---------------------------------------------------------------- signing up


def test_who_signs_up_is_signed_in_and_brings_what_they_said(
    browser: Client, settings: Settings
) -> None:
    """Where no mail can be sent there is nothing to verify."""
    settings.ALLOW_SIGNUP = True
    session_id = speak(browser)
    answer = sign_up(browser, next=f"/chat/{session_id}")
    assert answer.headers["Location"] == f"/chat/{session_id}"
    bob = User.objects.get(username="bob")
    assert Session.objects.get(id=session_id).owner == bob
    assert browser.get(f"/chat/{session_id}").status_code == 200
    assert not bob.is_staff
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": "ada"}, "already exists"),
        ({"password1": "12345678", "password2": "12345678"}, "too common"),
        ({"password2": "another"}, "same password"),
    ],
)
def test_who_cannot_sign_up_so_is_told_why(
    browser: Client, ada: User, settings: Settings, fields: dict[str, str], why: str
) -> None:
    settings.ALLOW_SIGNUP = True
    page = sign_up(browser, **fields).content.decode()
    assert why in page
    assert 'aria-invalid="true"' in page
    assert PASSWORD not in page
    assert not User.objects.filter(username="bob").exists()


def test_who_signs_up_proves_the_address_first(
    browser: Client, mailing: None, settings: Settings
) -> None:
    settings.ALLOW_SIGNUP = True
    session_id = speak(browser)
    answer = sign_up(browser, email="bob@site.example")
    assert answer.headers["Location"] == "/sign-up/sent"
    assert "Check your email" in browser.get("/sign-up/sent").content.decode()
    # Meanwhile they are the guest that they were.
    assert browser.get(f"/chat/{session_id}").status_code == 200
    assert browser.get("/api/sessions").status_code == 200
    assert not is_user(browser)

    elsewhere = Client()
    answer = sign_in(elsewhere, name="bob")
    assert answer.headers["Location"] == "/sign-up/sent"

    link = link_in_the_last_letter()
    assert "bob@site.example" in browser.get(link).content.decode()
    assert not is_user(browser)  # programs follow links too
    assert browser.post(link).headers["Location"] == "/"
    assert is_user(browser)
    assert Session.objects.get(id=session_id).owner == User.objects.get(username="bob")
    assert sign_in(elsewhere, name="bob").headers["Location"] == "/"
    assert "leads nowhere" in Client().get(link).content.decode()


def test_who_has_an_account_learns_so_by_mail_alone(
    browser: Client, ada: User, mailing: None, settings: Settings
) -> None:
    settings.ALLOW_SIGNUP = True
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True)
    answer = sign_up(browser, email="ada@site.example")
    assert answer.headers["Location"] == "/sign-up/sent"
    assert "already exists" in str(mail.outbox[-1].body)
    assert not User.objects.filter(username="bob").exists()


def test_accounts_made_by_others_need_no_verified_address(
    browser: Client, ada: User, mailing: None
) -> None:
    assert sign_in(browser).headers["Location"] == "/"
    assert browser.get("/account/email").status_code == 200
    again = Client()
    assert sign_in(again).headers["Location"] == "/"


def test_mail_is_not_to_be_had_without_end(browser: Client, mailing: None) -> None:
    answers = [
        browser.post("/sign-in/reset", {"email": f"{number}@site.example"})
        for number in range(21)
    ]
    assert [answer.status_code for answer in answers] == [302] * 20 + [429]
    assert "Wait a moment" in answers[-1].content.decode()


# ---------------------------------------------------------------- a new password


def test_who_forgot_their_password_chooses_another(
    browser: Client, ada: User, mailing: None
) -> None:
    elsewhere = Client()
    sign_in(elsewhere)
    answer = browser.post("/sign-in/reset", {"email": "ada@site.example"})
    assert answer.headers["Location"] == "/sign-in/reset/sent"
    link = link_in_the_last_letter()
    answer = browser.get(link, follow=True)
    assert link not in answer.request["PATH_INFO"]  # the key is not in the address
    passwords = {"password1": NEW, "password2": NEW}
    answer = browser.post(answer.request["PATH_INFO"], passwords, follow=True)
    assert answer.request["PATH_INFO"] == "/sign-in"
    assert "Password successfully changed" in answer.content.decode()
    assert not is_user(browser)
    assert not is_user(elsewhere)
    assert sign_in(browser, NEW).status_code == 302
    assert "leads nowhere" in Client().get(link, follow=True).content.decode()


def test_nobody_learns_who_has_an_account(
    browser: Client, ada: User, mailing: None
) -> None:
    """Nor do strangers get mail, nor those a way in whose door is another."""
    User.objects.create_user("eve", "eve@site.example")  # who has no password
    pages = {
        browser.post("/sign-in/reset", {"email": f"{name}@site.example"}, follow=True)
        .content.decode()
        .replace(name, "")
        for name in ("ada", "eve", "nobody")
    }
    assert len(pages) == 1
    assert [letter.to for letter in mail.outbox] == [["ada@site.example"]]


def test_the_password_is_changed_by_who_knows_it(
    browser: Client, ada: User, mailing: None
) -> None:
    elsewhere = Client()
    for each in (browser, elsewhere):
        sign_in(each)
    passwords = {"password1": NEW, "password2": NEW}
    wrong = browser.post("/account/password", {"oldpassword": "no", **passwords})
    assert "current password" in wrong.content.decode()
    answer = browser.post("/account/password", {"oldpassword": PASSWORD, **passwords})
    assert answer.headers["Location"] == "/account"
    assert "Password successfully changed" in browser.get("/account").content.decode()
    assert "password has been changed" in str(mail.outbox[-1].body)
    assert not is_user(elsewhere)
    ada.refresh_from_db()
    assert ada.check_password(NEW)


def test_who_has_no_password_is_not_asked_for_one(browser: Client) -> None:
    browser.force_login(User.objects.create_user("eve"))
    assert browser.get("/account/password").status_code == 404
    assert "/account/password" not in browser.get("/account").content.decode()


@pytest.mark.parametrize(
    ("door", "field"),
    [("/account/password", "oldpassword"), ("/sign-in/again", "password")],
)
def test_guessing_has_limits_behind_the_door_too(
    browser: Client, door: str, field: str
) -> None:
    """A right one in between is no guess."""
    name = f"zoe-{uuid4().hex[:8]}"
    browser.force_login(User.objects.create_user(name, password=PASSWORD))
    address = f"2001:db8:{uuid4().hex[:4]}::1"
    new = {"password1": PASSWORD, "password2": PASSWORD}

    def submit(password: str) -> int:
        fields = {field: password, **new}
        return browser.post(door, fields, REMOTE_ADDR=address).status_code

    for _ in range(FREE_BY_NAME - 1):
        assert submit("a guess") == 200
    assert submit(PASSWORD) == 302
    for _ in range(FREE_BY_NAME):
        assert submit("a guess") == 200
    assert submit(PASSWORD) == 429


# ---------------------------------------------------------------- e-mail


def test_another_address_counts_when_it_is_proved(
    browser: Client, ada: User, mailing: None
) -> None:
    sign_in(browser)
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True, primary=True)
    asked = browser.post("/account/email", {"action_add": "", "email": "a@new.example"})
    assert asked.headers["Location"].startswith("/sign-in/again?next=")
    again = browser.post(asked.headers["Location"], {"password": PASSWORD})
    assert again.headers["Location"] == "/account/email"
    page = browser.get("/account/email").content.decode()
    assert "Confirmation email sent to a@new.example" in page
    assert "is not confirmed yet" in page
    ada.refresh_from_db()
    assert ada.email == "ada@site.example"
    browser.post(link_in_the_last_letter())
    ada.refresh_from_db()
    assert ada.email == "a@new.example"
    assert mail.outbox[-1].to == ["ada@site.example"]
    assert list(ada.emailaddress_set.values_list("email", flat=True)) == [
        "a@new.example"
    ]


# ---------------------------------------------------------------- who may not


def test_a_doorstep_is_not_left_for_another_site(browser: Client, ada: User) -> None:
    for address in ("https://evil.example/", "//evil.example", "http:evil.example"):
        answer = browser.post(
            "/sign-in", {"username": "ada", "password": PASSWORD, "next": address}
        )
        assert "evil" not in answer.headers["Location"]
        browser.logout()


def test_no_page_answers_with_json(browser: Client, ada: User) -> None:
    """allauth would, to whom says so."""
    headers = {"x-requested-with": "XMLHttpRequest", "accept": "application/json"}
    answer = browser.get("/sign-in", headers=headers)
    assert answer.headers["Content-Type"].startswith("text/html")
