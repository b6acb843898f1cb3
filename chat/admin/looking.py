"""Pages that only show, and how what they show is found."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from chat.models import Run, Step

MAX_SHOWN_RUNS = 50

# How Django's filters ask.
_CHOICES = frozenset({"exact", "isnull", "isempty", "in"})
_DATES = frozenset({"year", "month", "day", "gte", "lt"})


class LookOnly:
    """Neither add nor change; nothing is looked for but by the filters on the page.

    Django would take any field: `?guest_key__startswith=a` says a secret by and by.
    """

    list_filter: ClassVar[Any]
    date_hierarchy: ClassVar[str | None]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether a link of this page asks so."""
        fields = [
            each if isinstance(each, str) else each[0] for each in self.list_filter
        ]
        field, _, how = lookup.rpartition("__")
        if how in _DATES:
            return field in {*fields, self.date_hierarchy}
        return lookup in fields or (field in fields and how in _CHOICES)

    def has_add_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False


class AnswerSearch:
    """Search by words that may stand in titles, prompts and answers."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows with every word of the term, wherever each stands; or with the id."""
        for word in search_term.split():
            queryset = queryset.filter(self.contains(word))
        return queryset, False

    def contains(self, word: str) -> Q:
        """Which rows contain the word."""
        raise NotImplementedError


def answers(word: str) -> QuerySet[Step]:
    return Step.objects.filter(type=Step.Type.FINAL_ANSWER, content__icontains=word)


def transcript(runs: QuerySet[Run]) -> SafeString:
    shown = list(runs.prefetch_related("steps").order_by("-number")[:MAX_SHOWN_RUNS])
    context = {"runs": shown[::-1], "earlier": runs.count() - len(shown)}
    return render_to_string("chat/admin/transcript.html", context)
