"""How much one person or address may ask of a process."""

from __future__ import annotations

import timeit
from contextlib import ExitStack

import pytest
from pytest_django import Settings

from chat.auth.limits import MAX_READS_PER_MINUTE, Limits, TooManyError
from chat.store import Identity
from chat.wire.protocol import ErrorData, ProtocolError


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
def limits(clock: Clock, settings: Settings) -> Limits:
    settings.MAX_SOCKETS_PER_USER = 2
    settings.MAX_SOCKETS_PER_ADDRESS = 4
    settings.MAX_MESSAGES_PER_MINUTE = 6
    return Limits(clock)


def refused(limits: Limits, person: str) -> ErrorData:
    with pytest.raises(ProtocolError) as caught:
        limits.message(person)
    return caught.value.data


ADA, BOB = Identity(1, ""), Identity(2, "")


def test_a_person_has_so_many_sockets_and_may_open_another_when_one_closes(
    limits: Limits,
) -> None:
    with ExitStack() as held:
        held.enter_context(limits.person(ADA, "1.1.1.1"))
        with limits.person(ADA, "1.1.1.2"):
            with pytest.raises(TooManyError), limits.person(ADA, "1.1.1.3"):
                pass
            with limits.person(BOB, "1.1.1.3"):
                pass
        with limits.person(ADA, "1.1.1.3"):
            pass


def test_an_address_has_so_many_sockets_whoever_opens_them(limits: Limits) -> None:
    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(limits.address("1.1.1.1"))
        with pytest.raises(TooManyError), limits.address("1.1.1.1"):
            pass
        with limits.address("1.1.1.2"):
            pass


def test_guests_leave_some_of_an_address_to_those_who_have_signed_in(
    limits: Limits,
) -> None:
    with ExitStack() as held:
        for number in range(3):
            guest = Identity(None, f"guest-{number}")
            held.enter_context(limits.person(guest, "1.1.1.1"))
        late = Identity(None, "late")
        with pytest.raises(TooManyError), limits.person(late, "1.1.1.1"):
            pass
        with limits.person(late, "1.1.1.2"), limits.person(ADA, "1.1.1.1"):
            pass


def test_a_refused_socket_counts_for_nothing(limits: Limits) -> None:
    with limits.person(ADA, "a"), limits.person(ADA, "a"):
        for _ in range(5):
            with pytest.raises(TooManyError), limits.person(ADA, "a"):
                pass
    with limits.person(ADA, "a"), limits.person(ADA, "a"):
        pass


def test_a_socket_that_fails_is_given_back(limits: Limits) -> None:
    for _ in range(5):
        with (
            pytest.raises(ZeroDivisionError),
            limits.address("a"),
            limits.person(ADA, "a"),
        ):
            raise ZeroDivisionError
    assert not limits._sockets


def test_so_many_messages_a_minute_at_once_or_spread(
    limits: Limits, clock: Clock
) -> None:
    for _ in range(6):
        limits.message("ada")
    data = refused(limits, "ada")
    assert (data.code, data.retryable, data.retry_after) == ("rate_limited", True, 10)
    limits.message("bob")
    clock.now += 9.5
    assert refused(limits, "ada").retry_after == pytest.approx(0.5)
    clock.now += 0.6
    limits.message("ada")
    refused(limits, "ada")
    clock.now += 3600
    for _ in range(6):
        limits.message("ada")
    refused(limits, "ada")


def test_what_makes_the_site_read_is_counted_apart_and_generously(
    limits: Limits, clock: Clock
) -> None:
    for _ in range(MAX_READS_PER_MINUTE):
        limits.read("ada")
    with pytest.raises(ProtocolError) as caught:
        limits.read("ada")
    data = caught.value.data
    assert (data.code, data.retryable, data.retry_after) == ("rate_limited", True, 0.1)
    limits.message("ada")
    limits.read("bob")
    clock.now += 0.1
    limits.read("ada")


def test_waiting_as_long_as_told_is_enough(limits: Limits, clock: Clock) -> None:
    for _ in range(6):
        limits.message("ada")
    for _ in range(20):
        wait = refused(limits, "ada").retry_after
        assert isinstance(wait, float)
        clock.now += wait
        limits.message("ada")
        clock.now += 0.037


def test_who_is_silent_for_a_minute_is_forgotten(limits: Limits, clock: Clock) -> None:
    for number in range(1000):
        limits.message(f"guest {number}")
        for busy in "abc":  # who never stops must not keep the others in memory
            limits.message(busy)
        clock.now += 11
    assert len(limits._allowances) < 20


def test_counting_costs_the_same_with_many_people(limits: Limits) -> None:
    """Of 100,000 who have just said something, a message must not copy the table."""

    def cost() -> float:
        return min(timeit.repeat(lambda: limits.read("ada"), number=50, repeat=5))

    alone = cost()
    for number in range(100_000):
        limits.read(f"guest {number}")
    assert cost() < 10 * alone
