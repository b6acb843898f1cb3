"""Sessions, with everything that was said and done in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString

from chat import runtime, store
from chat.admin.auditing import Audited
from chat.admin.deleting import NamesNothing, counts, erase
from chat.admin.looking import AnswerSearch, LookOnly, answers, transcript
from chat.admin.operating import OPERATE
from chat.models import Run, Session

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    SessionModelAdmin = admin.ModelAdmin[Session]
else:
    SessionModelAdmin = admin.ModelAdmin


@admin.register(Session)
class SessionAdmin(NamesNothing, Audited, AnswerSearch, LookOnly, SessionModelAdmin):
    """Sessions with everything that was said and done in them."""

    list_display = ("name", "who", "agent_name", "run_count", "last", "updated_at")
    list_filter = (
        "agent_name",
        "runs__status",
        "runs__reason",
        "updated_at",
        ("deleted_at", admin.EmptyFieldListFilter),
    )
    actions = ("stop",)
    search_fields = ("title",)  # shows the box; `contains` says where is searched
    search_help_text = "Words in titles, prompts and answers, or a session's id"
    date_hierarchy = "updated_at"
    ordering = ("-updated_at",)
    list_per_page = 50
    fields = (
        "id",
        "title",
        "who",
        "agent_name",
        "created_at",
        "updated_at",
        "deleted_at",
        "transcript",
    )
    readonly_fields = fields

    class Media:
        css: ClassVar = {"all": ["chat/admin/transcript.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        """With the number of runs and what became of the last one."""
        last = Run.objects.filter(session=OuterRef("pk")).order_by("-number")
        sessions: QuerySet[Session] = super().get_queryset(request)
        return sessions.select_related("owner").annotate(
            runs_in_all=Count("runs", distinct=True),
            last_status=Subquery(last.values("status")[:1]),
            last_reason=Subquery(last.values("reason")[:1]),
        )

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with the sessions, counted: Django would list every event."""
        missing = set() if self.has_delete_permission(request) else {"session"}
        return [str(session) for session in objs], counts(objs), missing, []

    def delete_model(self, request: HttpRequest, obj: Session) -> None:
        """Delete one session, whatever is being answered there."""
        erase(request, Session.objects.filter(pk=obj.pk))

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[Session]
    ) -> None:
        """Delete the chosen sessions likewise."""
        erase(
            request, Session.objects.filter(pk__in=[session.pk for session in queryset])
        )

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether they may end what others have asked."""
        return request.user.has_perm(OPERATE)

    @admin.action(
        description="Stop what is answered or waits there", permissions=["operate"]
    )
    def stop(self, request: HttpRequest, chosen: QuerySet[Session]) -> None:
        """End all runs that are not over, keeping what was written."""
        stopped = []
        for session_id, owner_id in chosen.values_list("pk", "owner"):
            ended = store.stop_all([session_id])
            if ended:
                store.audit(
                    store.Action.STOPPED,
                    request.user.pk,
                    user=owner_id,
                    session=session_id,
                    count=len(ended),
                )
            stopped += ended
        runtime.call_soon(lambda running: running.stopped(stopped))
        self.message_user(request, f"Stopped: {len(stopped)}.")

    def session_of(self, shown: Session) -> Session:
        """Itself."""
        return shown

    def contains(self, word: str) -> Q:
        """Title, prompt, answer, or the id itself."""
        runs = Run.objects.filter(
            Q(prompt__icontains=word) | Q(id__in=answers(word).values("run"))
        )
        found = Q(title__icontains=word) | Q(id__in=runs.values("session"))
        try:
            return found | Q(id=UUID(word))
        except ValueError:
            return found

    @admin.display(description="session", ordering="title")
    def name(self, session: Session) -> str:
        """The title, or the id where there is none."""
        return str(session)

    @admin.display(description="who", ordering="owner")
    def who(self, session: Session) -> str:
        """The user's name, or that it is a guest; the guest's key is a secret."""
        return session.owner.get_username() if session.owner else "guest"

    @admin.display(description="runs", ordering="runs_in_all")
    def run_count(self, session: Session) -> int:
        """How many runs there are."""
        return int(getattr(session, "runs_in_all", 0))

    @admin.display(description="last run", ordering="last_status")
    def last(self, session: Session) -> str:
        """What became of the last run."""
        reason = getattr(session, "last_reason", "")
        return str(reason or getattr(session, "last_status", None) or "–")

    @admin.display(description="transcript")
    def transcript(self, session: Session) -> SafeString:
        """All runs and their steps, coloured as on the page."""
        return transcript(Run.objects.filter(session=session))
