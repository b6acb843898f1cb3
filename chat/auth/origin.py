"""Which pages may open a socket: those whose forms Django would take."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import QueryDict
from django.utils.http import is_same_domain

_HTTP: Final = {"ws": "http", "wss": "https"}


def origin_is_allowed(scope: dict[str, Any]) -> bool:
    """Whether the page that opened the socket is ours.

    Browsers always send Origin, and it must name scheme and host that were asked, or be
    trusted; other clients send none, and carry no cookie that could be misused. The
    rules are those of Django's CsrfViewMiddleware.
    """
    return request_is_ours(_Handshake(scope))


def request_is_ours(request: HttpRequest) -> bool:
    """Whether the page that sent the request is ours, or no page did."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return False
    origin = request.headers.get("Origin", "")
    if not origin or origin == f"{request.scheme}://{host}":
        return True
    return any(_matches(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)


class _Handshake(HttpRequest):
    """As much of a WebSocket's handshake as says to whom it was sent."""

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__()
        self.GET = QueryDict()
        self._own_scheme = _HTTP.get(scope.get("scheme", "ws"), "http")
        for name, value in scope["headers"]:
            key = name.decode("latin-1").upper().replace("-", "_")
            self.META[f"HTTP_{key}"] = value.decode("latin-1")
        server = scope.get("server") or ("", 0)
        self.META |= {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1] or "")}

    def _get_scheme(self) -> str:
        return self._own_scheme


def _matches(origin: str, trusted: str) -> bool:
    """Whether `origin` is what an entry like `https://*.example` trusts."""
    if "*" not in trusted:
        return origin == trusted
    scheme, _, pattern = trusted.partition("://")
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == scheme and is_same_domain(parts.netloc, pattern.lstrip("*"))
