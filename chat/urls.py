"""HTTP addresses."""

from __future__ import annotations

from django.urls import path

from chat import api, views
from chat.accounts.urls import urlpatterns as accounts
from chat.programs import events, mcp, tokens
from chat.programs.openai import completions, responses

urlpatterns = [
    path("", views.new_chat, name="new_chat"),
    path("chat/<uuid:session_id>", views.chat, name="chat"),
    *accounts,
    path("account/tokens", tokens.my_tokens, name="tokens"),
    path("account/tokens/<int:token_id>/revoke", tokens.revoke, name="revoke_token"),
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
    path("mcp", mcp.mcp),
    path("v1/models", completions.models),
    path("v1/models/<str:name>", completions.model),
    path("v1/chat/completions", completions.completions),
    path("v1/responses", responses.responses),
    path("v1/responses/<str:name>", responses.response),
    path("v1/responses/<str:name>/cancel", responses.cancel),
]
