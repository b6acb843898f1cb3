"""People, browsers, and a site that can send mail."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

BROWSER = {"accept": "text/html"}
PASSWORD = "a secret of hers"


@pytest.fixture(autouse=True)
def _no_limits_of_before() -> Iterator[None]:
    """Who has asked for mail, and how often."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def browser() -> Client:
    return Client(headers=BROWSER)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@site.example", PASSWORD)


@pytest.fixture
def mailing(settings: Settings) -> None:
    """What settings.py says where there is EMAIL_URL."""
    settings.HAS_MAIL = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.ACCOUNT_EMAIL_NOTIFICATIONS = True
    fields = ["username*", "email*", "password1*", "password2*"]
    settings.ACCOUNT_SIGNUP_FIELDS = fields


def link_in_the_last_letter() -> str:
    """The path it leads to."""
    (path,) = re.findall(r"http://testserver(/\S+)", str(mail.outbox[-1].body))
    return str(path)
