"""The chat app."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Sessions, runs, and the page that shows them."""

    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks and what follows signing in."""
        from chat import checks, signals  # noqa: F401, PLC0415  (importing registers)
