"""What responses say of themselves: strict on the pages, workable in the admin."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory

from reasoning_site.headers import PERMISSIONS, POLICY, policy, response_headers


def test_pages_trust_nobody(rf: RequestFactory) -> None:
    value = policy(rf.get("/"))
    assert "default-src 'none'" in value
    assert "unsafe" not in value
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in value


def test_a_page_connects_to_its_own_host_by_its_own_scheme(rf: RequestFactory) -> None:
    assert "connect-src 'self' ws://testserver;" in policy(rf.get("/"))
    assert "connect-src 'self' wss://testserver;" in policy(rf.get("/", secure=True))


def test_admin_may_set_inner_html(rf: RequestFactory) -> None:
    assert "trusted-types" not in policy(rf.get("/admin/chat/"))


def test_a_forged_host_does_not_get_into_the_policy(rf: RequestFactory) -> None:
    value = policy(rf.get("/", headers={"host": "evil.example"}))
    assert "evil" not in value


def test_both_kinds_of_view_get_it(rf: RequestFactory) -> None:
    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse("x")

    response: HttpResponseBase = response_headers(view)(rf.get("/"))
    assert response.headers[POLICY] == policy(rf.get("/"))


@pytest.mark.asyncio
async def test_a_view_may_bring_its_own(rf: RequestFactory) -> None:
    async def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse("x", headers={POLICY: "default-src 'self'"})

    response: HttpResponseBase = await response_headers(view)(rf.get("/"))
    assert response.headers[POLICY] == "default-src 'self'"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/sign-in", "/api/sessions", "/nowhere", "/admin/", "/admin/jsi18n/"),
        *("/admin/password_change/", "/admin/auth/user/1/password/"),
    ],
)
def test_no_cache_keeps_what_somebody_was_shown(
    admin_client: Client, path: str
) -> None:
    answer = admin_client.get(path)
    assert "no-store" in answer.headers["Cache-Control"], path
    is_page = answer.headers["Content-Type"].startswith("text/html")
    assert ("camera=()" in answer.headers.get(PERMISSIONS, "")) == is_page


@pytest.mark.django_db
def test_nor_an_image_that_somebody_asked_for(admin_client: Client) -> None:
    answer = admin_client.post("/image", {"address": "https://example.org/a.png"})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
