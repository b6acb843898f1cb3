"""WebSocket addresses."""

from __future__ import annotations

from typing import Any

from django.urls import re_path

from chat.consumers import ChatConsumer, NowhereConsumer

websocket_urlpatterns: list[Any] = [
    re_path(r"^ws/chat/(?P<session_id>[^/]+)/?$", ChatConsumer.as_asgi()),  # type: ignore[arg-type]  # django-stubs knows no ASGI applications
    re_path(r"", NowhereConsumer.as_asgi()),  # type: ignore[arg-type]  # as above
]
