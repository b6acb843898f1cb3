"""Guessing passwords takes ever longer: by name and address, and by address.

Never by name alone: nobody can lock another out. It holds for every door that asks
Django who somebody is; each process counts for itself.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from msgspec import Struct

from chat.auth.bearers import bearer_of

HOUR: Final = 3600.0
FREE_BY_NAME: Final = 5  # in a row, for one name from one address
FREE_BY_ADDRESS: Final = 30  # within an hour
FIRST_WAIT: Final = 5.0  # seconds; doubled with each further try
LONGEST_WAIT: Final = 900.0
MAX_KEPT: Final = 20_000  # names and addresses; the oldest are forgotten


class TooManyGuessesError(Exception):
    """So soon after so many wrong passwords no further one is looked at."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"the next try may come in {wait:g} s")
        self.wait = wait


class _Tries(Struct):
    """How often it was tried since `since`, and when the next may be."""

    since: float
    count: int = 0
    next_at: float = 0.0


class Guesses:
    """Counts tries. A try counts before it is looked at: many at once are many."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._tries: OrderedDict[Hashable, _Tries] = OrderedDict()

    def take(self, name: str, address: str) -> None:
        """Count a try. Raises TooManyGuessesError, and then it does not count."""
        with self._lock:
            now = self._monotonic()
            self._check(name, address, now)
            self._count(name, address, now)

    def check(self, name: str, address: str) -> None:
        """Raise TooManyGuessesError where the next try has to wait."""
        with self._lock:
            self._check(name, address, self._monotonic())

    def was_wrong(self, name: str, address: str) -> None:
        """Count a try that was only checked: most of its kind are no guesses."""
        with self._lock:
            self._count(name, address, self._monotonic())

    def was_right(self, name: str, address: str) -> None:
        """The last try was no guess."""
        with self._lock:
            self._tries.pop((name, address), None)
            if (tries := self._tries.get(address)) is not None and tries.count:
                tries.count -= 1
                if tries.count < FREE_BY_ADDRESS:
                    tries.next_at = 0.0

    def _check(self, name: str, address: str, now: float) -> None:
        keys = ((name, address), address)
        wait = max(self._of(key, now).next_at - now for key in keys)
        if wait > 0:
            raise TooManyGuessesError(wait)

    def _count(self, name: str, address: str, now: float) -> None:
        for key, free in (((name, address), FREE_BY_NAME), (address, FREE_BY_ADDRESS)):
            tries = self._of(key, now)
            tries.count += 1
            if (beyond := tries.count - free) >= 0:
                pause = FIRST_WAIT * 2 ** min(beyond, 10)
                tries.next_at = now + min(pause, LONGEST_WAIT)

    def _of(self, key: Hashable, now: float) -> _Tries:
        tries = self._tries.get(key)
        if tries is None or now - max(tries.since, tries.next_at) > HOUR:
            tries = self._tries[key] = _Tries(since=now)
            self._tries.move_to_end(key)
            if len(self._tries) > MAX_KEPT:
                self._tries.popitem(last=False)
        return tries


guesses: Final = Guesses()


class GuessingBackend:
    """The first of Django's backends: knows nobody, and has who guesses wait."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", **_credentials: Any
    ) -> None:
        """Return None, so that the next is asked. Raises TooManyGuessesError."""
        if request is not None:
            guesses.take(_name(username), address_of(request))


def was_right(request: HttpRequest, username: str) -> None:
    """The last try at this name, from where the request comes, was no guess."""
    guesses.was_right(_name(username), address_of(request))


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: AbstractBaseUser, **_kwargs: Any) -> None:
    was_right(request, user.get_username())


class GuessingMiddleware(MiddlewareMixin):
    """Answers 429 where somebody has to wait, with when to come back."""

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """The page that says so; None for any other error."""
        if not isinstance(exception, TooManyGuessesError):
            return None
        seconds = math.ceil(exception.wait)
        response: HttpResponse
        if bearer_of(request) is not None:
            message = f"There were too many wrong tokens. Try again in {seconds} s."
            error = {"code": "rate_limited", "message": message}
            response = JsonResponse({"error": error}, status=429)
        else:
            context = {"seconds": seconds}
            response = render(request, "account/wait.html", context, status=429)
        response.headers["Retry-After"] = str(seconds)
        return response


def _name(username: str) -> str:
    return str(get_user_model().normalize_username(username)).casefold()


def address_of(request: HttpRequest) -> str:
    """Where the request comes from: see `network`."""
    return network(request.META.get("REMOTE_ADDR", ""))


def network(text: str) -> str:
    """Where a guess comes from; of IPv6 the network, which one person has whole."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.version == 6:  # noqa: PLR2004  (of the protocol)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
