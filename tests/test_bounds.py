"""How much one person or address may ask of a process."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from pytest_django import Settings

from chat.bounds import MAX_READS_PER_MINUTE, Bounds, TooManyError
from chat.protocol import ErrorData, ProtocolError


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bounds(clock: Clock, settings: Settings) -> Bounds:
    settings.MAX_SOCKETS_PER_USER = 2
    settings.MAX_SOCKETS_PER_ADDRESS = 3
    settings.MAX_MESSAGES_PER_MINUTE = 6
    return Bounds(clock)


def refused(bounds: Bounds, person: str) -> ErrorData:
    with pytest.raises(ProtocolError) as caught:
        bounds.message(person)
    return caught.value.data


def test_a_person_has_so_many_sockets_and_may_open_another_when_one_closes(
    bounds: Bounds,
) -> None:
    with ExitStack() as held:
        held.enter_context(bounds.socket("ada", "1.1.1.1"))
        with bounds.socket("ada", "1.1.1.2"):
            with pytest.raises(TooManyError), bounds.socket("ada", "1.1.1.3"):
                pass
            with bounds.socket("bob", "1.1.1.3"):
                pass
        with bounds.socket("ada", "1.1.1.3"):
            pass


def test_an_address_has_so_many_sockets_whoever_opens_them(bounds: Bounds) -> None:
    with ExitStack() as held:
        for person in "abc":
            held.enter_context(bounds.socket(person, "1.1.1.1"))
        with pytest.raises(TooManyError), bounds.socket("d", "1.1.1.1"):
            pass
        with bounds.socket("d", "1.1.1.2"):
            pass


def test_a_refused_socket_counts_for_nothing(bounds: Bounds) -> None:
    with bounds.socket("ada", "a"), bounds.socket("ada", "a"):
        for _ in range(5):
            with pytest.raises(TooManyError), bounds.socket("ada", "a"):
                pass
    with bounds.socket("ada", "a"), bounds.socket("ada", "a"):
        pass


def test_a_socket_that_fails_is_given_back(bounds: Bounds) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), bounds.socket("ada", "a"):
            raise ZeroDivisionError
    assert not bounds._sockets


def test_so_many_messages_a_minute_at_once_or_spread(
    bounds: Bounds, clock: Clock
) -> None:
    for _ in range(6):
        bounds.message("ada")
    data = refused(bounds, "ada")
    assert (data.code, data.retryable, data.retry_after) == ("rate_limited", True, 10)
    bounds.message("bob")
    clock.now += 9.5
    assert refused(bounds, "ada").retry_after == pytest.approx(0.5)
    clock.now += 0.6
    bounds.message("ada")
    refused(bounds, "ada")
    clock.now += 3600
    for _ in range(6):
        bounds.message("ada")
    refused(bounds, "ada")


def test_what_makes_the_site_read_is_counted_apart_and_generously(
    bounds: Bounds, clock: Clock
) -> None:
    for _ in range(MAX_READS_PER_MINUTE):
        bounds.read("ada")
    with pytest.raises(ProtocolError) as caught:
        bounds.read("ada")
    data = caught.value.data
    assert (data.code, data.retryable, data.retry_after) == ("rate_limited", True, 0.1)
    bounds.message("ada")
    bounds.read("bob")
    clock.now += 0.1
    bounds.read("ada")


def test_waiting_as_long_as_told_is_enough(bounds: Bounds, clock: Clock) -> None:
    for _ in range(6):
        bounds.message("ada")
    for _ in range(20):
        wait = refused(bounds, "ada").retry_after
        assert isinstance(wait, float)
        clock.now += wait
        bounds.message("ada")
        clock.now += 0.037


def test_who_is_silent_for_a_minute_is_forgotten(bounds: Bounds, clock: Clock) -> None:
    for number in range(1000):
        bounds.message(f"guest {number}")
        for busy in "abc":  # who never stops must not keep the others in memory
            bounds.message(busy)
        clock.now += 11
    assert len(bounds._allowances) < 20
