"""The admin's door: the site's own, and nobody stays behind it for a year."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.http import HttpRequest

from chat.auth import sessions


def protect(site: AdminSite) -> None:
    """Have staff sign in at /sign-in, and again after STAFF_SESSION_HOURS."""
    may_enter = site.has_permission

    def has_permission(request: HttpRequest) -> bool:
        allowed = may_enter(request)
        if allowed:  # and was perhaps nobody of the staff when signing in
            sessions.limit(request.session, request.user)
        return allowed

    site.has_permission = has_permission  # type: ignore[method-assign]
    site.login = secure_admin_login(site.login)  # type: ignore[method-assign]
