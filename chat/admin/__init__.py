"""Django admin: look things up. Of chats nothing can be changed, only all deleted."""

from __future__ import annotations

from django.contrib import admin

# Importing registers.
from chat.admin import auditing, operating, people, processes, runs, sessions, tokens

__all__ = ["auditing", "operating", "people", "processes", "runs", "sessions", "tokens"]

admin.site.site_header = admin.site.site_title = "Reasoning Site"
admin.site.index_title = "Administration"
