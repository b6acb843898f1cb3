"""Which pages may open a socket."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host


def origin_is_allowed(scope: dict[str, Any]) -> bool:
    """Whether the page that opened the socket is ours.

    Browsers always send Origin, and it must name the host that was asked, or a
    trusted one; other clients send none, and carry no cookie that could be misused.
    """
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"").decode("latin-1")
    host = headers.get(b"host", b"").decode("latin-1")
    allowed = settings.ALLOWED_HOSTS
    if settings.DEBUG and not allowed:
        allowed = [".localhost", "127.0.0.1", "[::1]"]
    if not host or not validate_host(split_domain_port(host)[0], allowed):
        return False
    if not origin or origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    return bool(origin.partition("://")[2] == host)
