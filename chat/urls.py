"""HTTP addresses."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from chat import api, views
from chat.programs import events

urlpatterns = [
    path("", views.new_chat, name="new_chat"),
    path("chat/<uuid:session_id>", views.chat, name="chat"),
    path("sign-in", views.SignIn.as_view(), name="sign_in"),
    path("sign-out", LogoutView.as_view(next_page="sign_in"), name="sign_out"),
    path("favicon.ico", views.favicon),
    path("image", views.image, name="image"),
    path("api/sessions", api.sessions, name="sessions"),
    path("api/sessions/<uuid:session_id>", api.session, name="session"),
    path(
        "api/sessions/<uuid:session_id>/events",
        events.session_events,
        name="session_events",
    ),
    path("api/sessions/<uuid:session_id>/export", api.export, name="export"),
    path("api/sessions/<uuid:session_id>/restore", api.restore, name="restore"),
    path("api/sessions/<uuid:session_id>/shares", api.shares, name="shares"),
    path("api/sessions/<uuid:session_id>/shares/<str:name>", api.share, name="share"),
]
