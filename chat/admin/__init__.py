"""Django admin: look things up. Of chats nothing can be changed, only all deleted."""

from __future__ import annotations

# Importing registers.
from chat.admin import auditing, people, processes, runs, sessions, tokens

__all__ = ["auditing", "people", "processes", "runs", "sessions", "tokens"]
