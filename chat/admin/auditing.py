"""The audit log, and that looking at others' chats is an entry of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from chat import store
from chat.admin.looking import LookOnly
from chat.models import AuditEntry, Session

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    AuditEntryModelAdmin = admin.ModelAdmin[AuditEntry]
    Shown = admin.ModelAdmin[Any]
else:
    AuditEntryModelAdmin = admin.ModelAdmin
    Shown = object

MAX_DIGITS: Final = 19  # that a column takes


class Audited(Shown):
    """Pages with what others have said."""

    def session_of(self, shown: Any) -> Session:
        """The session that an object of these pages is of."""
        raise NotImplementedError

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list: titles and questions are texts too."""
        if self.has_view_permission(request):
            store.audit(store.Action.LISTED, request.user.pk)
        return super().changelist_view(request, extra_context)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """What a page is about to show, or to delete."""
        shown = super().get_object(request, object_id, from_field)
        if shown is not None and self.has_view_permission(request, shown):
            look_at(request, self.session_of(shown))
        return shown


def look_at(
    request: HttpRequest,
    session: Session,
    action: store.Action = store.Action.LOOKED,
) -> None:
    """Note that somebody of the staff sees what is said there, if it is not theirs."""
    if session.owner_id != request.user.pk:
        store.audit(action, request.user.pk, user=session.owner_id, session=session.pk)


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly, AuditEntryModelAdmin):
    """Who has done what, by numbers: nobody can change it here."""

    list_display = ("at", "actor", "action", "user", "session", "count")
    list_filter = ("action", "at")
    search_fields = ("session",)  # shows the box
    search_help_text = "A user's number, or a session's id"
    date_hierarchy = "at"
    list_per_page = 100
    fields = list_display
    readonly_fields = fields
    list_display_links = None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """Entries about a session; or by a user, or about theirs."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isdecimal() and len(term) < MAX_DIGITS:
            number = int(term)
            return queryset.filter(Q(actor=number) | Q(user=number)), False
        try:
            return queryset.filter(session=UUID(term)), False
        except ValueError:
            return queryset.none(), False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody."""
        return False
