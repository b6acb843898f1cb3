"""The Content-Security-Policy: strict on the pages, workable in the admin."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from reasoning_site.csp import HEADER, content_security_policy, policy


def test_pages_trust_nobody(rf: RequestFactory) -> None:
    value = policy(rf.get("/"))
    assert "default-src 'none'" in value
    assert "unsafe" not in value
    assert "require-trusted-types-for 'script'" in value
    assert "connect-src 'self' ws://testserver wss://testserver;" in value


def test_admin_may_set_inner_html(rf: RequestFactory) -> None:
    assert "trusted-types" not in policy(rf.get("/admin/chat/"))


def test_a_forged_host_does_not_get_into_the_policy(rf: RequestFactory) -> None:
    value = policy(rf.get("/", headers={"host": "evil.example"}))
    assert "evil" not in value


def test_both_kinds_of_view_get_it(rf: RequestFactory) -> None:
    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse("x")

    response: HttpResponseBase = content_security_policy(view)(rf.get("/"))
    assert response.headers[HEADER] == policy(rf.get("/"))


@pytest.mark.asyncio
async def test_a_view_may_bring_its_own(rf: RequestFactory) -> None:
    async def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse("x", headers={HEADER: "default-src 'self'"})

    response: HttpResponseBase = await content_security_policy(view)(rf.get("/"))
    assert response.headers[HEADER] == "default-src 'self'"
