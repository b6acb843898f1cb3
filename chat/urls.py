"""HTTP addresses."""

from __future__ import annotations

from django.urls import path

from chat import api, views

urlpatterns = [
    path("", views.new_chat, name="new_chat"),
    path("chat/<uuid:session_id>", views.chat, name="chat"),
    path("image", views.image, name="image"),
    path("api/sessions", api.sessions, name="sessions"),
    path("api/sessions/<uuid:session_id>", api.session, name="session"),
    path("api/sessions/<uuid:session_id>/restore", api.restore, name="restore"),
]
