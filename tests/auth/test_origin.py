"""Pages may open a socket where Django would take their forms, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from pytest_django import Settings

from chat.auth.origin import origin_is_allowed

HOST = "chat.example"


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = [HOST]
    settings.CSRF_TRUSTED_ORIGINS = ["https://one.example", "https://*.two.example"]


def scope(origin: str | None, scheme: str = "ws", **headers: str) -> dict[str, Any]:
    sent = {"host": HOST} | headers
    if origin is not None:
        sent["origin"] = origin
    pairs = [(name.replace("_", "-"), value) for name, value in sent.items()]
    return {
        "scheme": scheme,
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
        "server": ("10.0.0.1", 8000),
    }


class AsAsked(HttpRequest):
    """A request by http or https, as a server's subclass tells it."""

    own_scheme = "http"

    def _get_scheme(self) -> str:
        return self.own_scheme


def forms_are_taken(origin: str, scheme: str) -> bool:
    """What Django itself says of a form from that page."""
    request = AsAsked()
    request.own_scheme = {"ws": "http", "wss": "https"}[scheme]
    request.META |= {"HTTP_HOST": HOST, "HTTP_ORIGIN": origin}
    middleware = CsrfViewMiddleware(lambda _: HttpResponse())
    verified: bool = middleware._origin_verified(request)  # type: ignore[attr-defined]  # private
    return verified


ORIGINS = {
    f"http://{HOST}": ("ws",),
    f"https://{HOST}": ("wss",),
    f"https://{HOST}:8443": (),
    "https://one.example": ("ws", "wss"),
    "http://one.example": (),
    "https://www.one.example": (),
    "https://two.example": ("ws", "wss"),
    "https://a.b.two.example": ("ws", "wss"),
    "http://a.two.example": (),
    "https://atwo.example": (),
    "https://a.two.example.evil": (),
    f"https://{HOST}.evil": (),
    "https://[": (),
    "null": (),
}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_is_trusted_as_djangos_forms_are(origin: str, scheme: str) -> None:
    expected = scheme in ORIGINS[origin]
    assert origin_is_allowed(scope(origin, scheme)) is expected
    assert forms_are_taken(origin, scheme) is expected


def test_what_is_no_browser_sends_none() -> None:
    assert origin_is_allowed(scope(None))
    assert origin_is_allowed(scope(""))


def test_the_proxy_says_whether_it_was_https(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    behind = {"x_forwarded_proto": "https"}
    assert origin_is_allowed(scope(f"https://{HOST}", **behind))
    assert not origin_is_allowed(scope(f"http://{HOST}", **behind))
    assert origin_is_allowed(scope(f"http://{HOST}", x_forwarded_proto="http"))


@pytest.mark.parametrize("host", ["evil.example", "", "[", "a/b", "chat.example@evil"])
def test_a_host_that_is_not_ours_has_no_pages(host: str) -> None:
    assert not origin_is_allowed(scope(f"http://{host}", host=host))
    assert not origin_is_allowed(scope(None, host=host))


def test_while_developing_this_machine_is_allowed(settings: Settings) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []
    assert origin_is_allowed(scope("http://localhost:8000", host="localhost:8000"))
    assert not origin_is_allowed(scope(None))
