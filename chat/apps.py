"""The chat app."""

from __future__ import annotations

import os

from django.apps import AppConfig
from django.conf import settings

from chat.redaction import known, secrets_in


class ChatConfig(AppConfig):
    """Sessions, runs, and the page that shows them."""

    name = "chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Learn what is secret, register the checks and what follows signing in."""
        named = {n: getattr(settings, n) for n in dir(settings) if n.isupper()}
        known.learn(secrets_in([named, dict(os.environ)]))
        from chat import checks, signals  # noqa: F401, PLC0415  (importing registers)
