"""What a request brings is read once, early, or refused: a form that is none is 400.

Django reads a form where it is first asked for: in the middle of its CSRF check, and
once more while it writes the page for an error, where raising becomes a 500.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, QueryDict
from django.http.multipartparser import MultiPartParserError
from django.utils.deprecation import MiddlewareMixin

NUL = "\0"  # PostgreSQL has no text with it, and nobody types it


class ReadableMiddleware(MiddlewareMixin):
    """Answers 400 to a form that cannot be read, and to text that cannot be stored."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Read query and form as UTF-8, whatever charset the request claims."""
        request.encoding = settings.DEFAULT_CHARSET
        try:
            form = request.POST
        except MultiPartParserError:
            return HttpResponseBadRequest("The form cannot be read.")
        if _has_nul(request.GET) or _has_nul(form):
            return HttpResponseBadRequest("Text cannot hold a NUL.")
        return None


def _has_nul(fields: QueryDict) -> bool:
    return any(
        NUL in text for name, values in fields.lists() for text in (name, *values)
    )
