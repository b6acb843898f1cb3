"""Requests of programs: with a token instead of a cookie.

Only at the addresses for programs: elsewhere an Authorization header is of no account,
as it is where a proxy in front asks for one of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

FOR_PROGRAMS: Final = ("/api/", "/v1/", "/mcp")


def bearer(authorization: str) -> str | None:
    """The token in an Authorization header; None where it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@sync_and_async_middleware
def bearer_requests(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Let who brings a token be known by that alone: no cookie is read, or sent back.

    So such a request needs no CSRF token: no page can have a browser send it.
    """
    if iscoroutinefunction(get_response):

        async def respond_async(request: HttpRequest) -> HttpResponseBase:
            is_programs = _take_token(request)
            answer: Awaitable[HttpResponseBase] = get_response(request)
            return _answered(await answer) if is_programs else await answer

        return respond_async

    def respond(request: HttpRequest) -> HttpResponseBase:
        is_programs = _take_token(request)
        response: HttpResponseBase = get_response(request)
        return _answered(response) if is_programs else response

    return respond


def bearer_of(request: HttpRequest) -> str | None:
    """The token that the request brings, if it is a program's."""
    token: str | None = getattr(request, "bearer", None)
    return token


def _take_token(request: HttpRequest) -> bool:
    token = bearer(request.headers.get("Authorization", ""))
    if token is None or not request.path_info.startswith(FOR_PROGRAMS):
        return False
    request.bearer = token  # type: ignore[attr-defined]
    request.COOKIES = {}
    request.META.pop("HTTP_COOKIE", None)
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # noqa: SLF001  (so Django's middleware is told)
    return True


def _answered(response: HttpResponseBase) -> HttpResponseBase:
    response.cookies.clear()
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
