"""Guessing passwords takes ever longer, and locks nobody else out."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chat.auth.guessing import (
    FREE_BY_ADDRESS,
    FREE_BY_NAME,
    LONGEST_WAIT,
    Guesses,
    TooManyGuessesError,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_of(guesses: Guesses, name: str, address: str) -> float:
    """How long a try has to wait; 0 where it was taken."""
    try:
        guesses.take(name, address)
    except TooManyGuessesError as error:
        return error.wait
    return 0


def test_after_five_tries_each_waits_twice_as_long_to_fifteen_minutes() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    assert [wait_of(guesses, "ada", "a") for _ in range(FREE_BY_NAME)] == [0] * 5
    waits = []
    for _ in range(10):
        waits.append(wait_of(guesses, "ada", "a"))
        assert wait_of(guesses, "ada", "a") == waits[-1]  # which does not count
        clock.now += waits[-1]
        assert wait_of(guesses, "ada", "a") == 0
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, LONGEST_WAIT, LONGEST_WAIT]


def test_nobody_locks_another_out() -> None:
    guesses = Guesses(Clock())
    for _ in range(FREE_BY_NAME):
        guesses.take("ada", "a")
    assert wait_of(guesses, "ada", "a")
    assert not wait_of(guesses, "ada", "another")
    assert not wait_of(guesses, "bob", "a")


def test_an_address_that_tries_many_names_waits_for_all() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    for number in range(FREE_BY_ADDRESS):
        guesses.take(f"name-{number}", "a")
    assert wait_of(guesses, "another", "a") == 5
    assert not wait_of(guesses, "another", "b")
    clock.now += 2 * 3600
    assert not wait_of(guesses, "another", "a")


def test_who_signs_in_begins_anew() -> None:
    guesses = Guesses(Clock())
    for _ in range(10 * FREE_BY_ADDRESS):
        for _ in range(FREE_BY_NAME - 1):
            guesses.take("ada", "a")
            guesses.was_right("ada", "a")


@pytest.mark.django_db
def test_the_sixth_wrong_password_is_not_looked_at(client: Client) -> None:
    name = f"zoe-{uuid4().hex[:8]}"
    User.objects.create_superuser(name, password="a secret of hers")
    address = f"2001:db8:{uuid4().hex[:4]}::"

    def submit(password: str, last: str, username: str = name) -> Any:
        fields = {"username": username, "password": password}
        return client.post("/sign-in", fields, REMOTE_ADDR=address + last)

    for number in range(FREE_BY_NAME):
        assert submit("a guess", f"{number + 1}").status_code == 200
    refused = submit("a secret of hers", "99", name.upper())
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 5
    assert "Try again in" in refused.content.decode()
    fields = {"username": name, "password": "a secret of hers"}
    assert client.post("/sign-in", fields, REMOTE_ADDR="203.0.113.9").status_code == 302
