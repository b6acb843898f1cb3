"""Addresses of accounts. allauth finds its views by these names."""

from __future__ import annotations

from allauth.account import views as allauth
from django.contrib.auth.views import LogoutView
from django.urls import path, re_path

from chat.accounts import data, oidc, views
from chat.accounts.views import offered

RESET = r"^sign-in/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)$"
CONFIRM = r"^email/(?P<key>[-:\w]+)$"

urlpatterns = [
    path("sign-in", views.SignIn.as_view(), name="account_login"),
    path(
        "sign-in/reset",
        offered("HAS_MAIL", allauth.password_reset),
        name="account_reset_password",
    ),
    path(
        "sign-in/reset/sent",
        offered("HAS_MAIL", allauth.password_reset_done),
        name="account_reset_password_done",
    ),
    re_path(
        RESET,
        offered("HAS_MAIL", views.ResetPassword.as_view()),
        name="account_reset_password_from_key",
    ),
    path("sign-in/again", allauth.reauthenticate, name="account_reauthenticate"),
    path("sign-in/oidc", offered("OIDC_ISSUER", oidc.begin), name="oidc"),
    path(
        "sign-in/oidc/callback",
        offered("OIDC_ISSUER", oidc.callback),
        name="oidc_callback",
    ),
    path("sign-up", views.SignUp.as_view(), name="account_signup"),
    path(
        "sign-up/sent",
        offered("HAS_MAIL", allauth.email_verification_sent),
        name="account_email_verification_sent",
    ),
    re_path(
        CONFIRM,
        offered("HAS_MAIL", allauth.confirm_email),
        name="account_confirm_email",
    ),
    path(
        "sign-out",
        LogoutView.as_view(next_page="account_login"),
        name="account_logout",
    ),
    path("account", views.account, name="account"),
    path(
        "account/password",
        views.ChangePassword.as_view(),
        name="account_change_password",
    ),
    path("account/data", data.data, name="account_data"),
    path("account/data/export", data.export, name="account_export"),
    path("account/data/delete", data.delete_chats, name="account_delete_chats"),
    path("account/delete", data.delete_account, name="account_delete"),
    path("account/email", offered("HAS_MAIL", allauth.email), name="account_email"),
]
