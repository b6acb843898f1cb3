"""The error pages of DEBUG: Django hides settings by their names, and no more."""

from __future__ import annotations

from html import escape

from django.conf import settings
from django.http import HttpRequest
from django.utils.safestring import SafeString, mark_safe
from django.views.debug import ExceptionReporter

from chat.redaction import HIDDEN, redact


class Reporter(ExceptionReporter):
    """Shows neither secrets nor the cookies that say who somebody is.

    They stand in local variables too, and in settings whose names do not tell.
    """

    def get_traceback_html(self) -> SafeString:
        """The page."""
        return self._without_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> SafeString:
        """The same as plain text."""
        return self._without_secrets(super().get_traceback_text())

    def _without_secrets(self, text: str) -> SafeString:
        if isinstance(self.request, HttpRequest):
            for name in (settings.SESSION_COOKIE_NAME, settings.GUEST_COOKIE_NAME):
                if cookie := self.request.COOKIES.get(name):
                    text = text.replace(cookie, HIDDEN).replace(escape(cookie), HIDDEN)
        return mark_safe(redact(text))  # noqa: S308 - it was
