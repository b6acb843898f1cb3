"""Django admin: look things up. Of chats nothing can be changed, only all deleted.

Who deletes sees counts: Django's own confirmation would list every event of every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from chat import runtime, store
from chat.auth.forgetting import forget
from chat.models import AccessToken, Process, Retention, Run, Session, Step

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    SessionModelAdmin = admin.ModelAdmin[Session]
    RunModelAdmin = admin.ModelAdmin[Run]
    ProcessModelAdmin = admin.ModelAdmin[Process]
    AccessTokenModelAdmin = admin.ModelAdmin[AccessToken]
    UserModelAdmin = UserAdmin[User]
    RetentionInlineAdmin = admin.TabularInline[Retention, Group]
    GroupModelAdmin = GroupAdmin
else:
    SessionModelAdmin = RunModelAdmin = ProcessModelAdmin = admin.ModelAdmin
    AccessTokenModelAdmin = admin.ModelAdmin
    UserModelAdmin = UserAdmin
    RetentionInlineAdmin = admin.TabularInline
    GroupModelAdmin = GroupAdmin

MAX_SHOWN_RUNS = 50
MAX_BRIEF_CHARS = 80

# How Django's filters ask.
_CHOICES = frozenset({"exact", "isnull", "isempty", "in"})
_DATES = frozenset({"year", "month", "day", "gte", "lt"})


class _LookOnly:
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


def _transcript(runs: QuerySet[Run]) -> SafeString:
    shown = list(runs.prefetch_related("steps").order_by("-number")[:MAX_SHOWN_RUNS])
    context = {"runs": shown[::-1], "earlier": runs.count() - len(shown)}
    return render_to_string("chat/admin/transcript.html", context)


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


def _answers(word: str) -> QuerySet[Step]:
    return Step.objects.filter(type=Step.Type.FINAL_ANSWER, content__icontains=word)


def _counts(sessions: Any) -> dict[str, int]:
    """What goes when sessions go; events and steps are never seen by themselves."""
    runs = Run.objects.filter(session__in=sessions).count()
    return {"sessions": len(sessions), "runs": runs}


def _erase(sessions: QuerySet[Session]) -> None:
    """Delete sessions; when that is committed, whoever writes or watches there ends."""
    _tell(store.erase(sessions))


def _tell(erased: store.Erased) -> None:
    transaction.on_commit(
        lambda: runtime.call_soon(lambda running: running.erased(erased))
    )


@admin.register(Session)
class SessionAdmin(AnswerSearch, _LookOnly, SessionModelAdmin):
    """Sessions with everything that was said and done in them."""

    list_display = ("name", "who", "agent_name", "run_count", "last", "updated_at")
    list_filter = (
        "agent_name",
        "runs__status",
        "runs__reason",
        "updated_at",
        ("deleted_at", admin.EmptyFieldListFilter),
    )
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
        return (
            super()
            .get_queryset(request)
            .select_related("owner")
            .annotate(
                runs_in_all=Count("runs", distinct=True),
                last_status=Subquery(last.values("status")[:1]),
                last_reason=Subquery(last.values("reason")[:1]),
            )
        )

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with the sessions, counted: Django would list every event."""
        missing = set() if self.has_delete_permission(request) else {"session"}
        return [str(session) for session in objs], _counts(objs), missing, []

    def delete_model(self, _request: HttpRequest, obj: Session) -> None:
        """Delete one session, whatever is being answered there."""
        _erase(Session.objects.filter(pk=obj.pk))

    def delete_queryset(
        self, _request: HttpRequest, queryset: QuerySet[Session]
    ) -> None:
        """Delete the chosen sessions likewise."""
        _erase(Session.objects.filter(pk__in=[session.pk for session in queryset]))

    def contains(self, word: str) -> Q:
        """Title, prompt, answer, or the id itself."""
        runs = Run.objects.filter(
            Q(prompt__icontains=word) | Q(id__in=_answers(word).values("run"))
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
        return _transcript(Run.objects.filter(session=session))


@admin.register(Run)
class RunAdmin(AnswerSearch, _LookOnly, RunModelAdmin):
    """Single runs, to be found by agent, status, reason and date."""

    list_display = (
        "brief",
        "session_link",
        "agent_name",
        "status",
        "reason",
        "duration",
        "created_at",
    )
    list_filter = ("agent_name", "status", "reason", "created_at")
    search_fields = ("prompt",)
    search_help_text = "Words in prompts and answers"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    list_per_page = 50
    list_select_related = ("session",)
    fields = (
        "session_link",
        "number",
        "agent_name",
        "status",
        "reason",
        "error",
        "epoch",
        "last_seq",
        "process",
        "created_at",
        "started_at",
        "finished_at",
        "input_tokens",
        "output_tokens",
        "transcript",
    )
    readonly_fields = fields

    class Media:
        css: ClassVar = {"all": ["chat/admin/transcript.css"]}

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Sessions are deleted whole."""
        return False

    def contains(self, word: str) -> Q:
        """Prompt or answer."""
        return Q(prompt__icontains=word) | Q(id__in=_answers(word).values("run"))

    @admin.display(description="prompt", ordering="prompt")
    def brief(self, run: Run) -> str:
        """The beginning of the prompt."""
        return Truncator(run.prompt).chars(MAX_BRIEF_CHARS)

    @admin.display(description="session", ordering="session")
    def session_link(self, run: Run) -> SafeString:
        """To the session's page here."""
        address = reverse("admin:chat_session_change", args=[run.session_id])
        return format_html('<a href="{}">{}</a>', address, run.session)

    @admin.display(description="duration", ordering="duration_ms")
    def duration(self, run: Run) -> str:
        """In seconds."""
        return "–" if run.duration_ms is None else f"{run.duration_ms / 1000:.1f} s"

    @admin.display(description="transcript")
    def transcript(self, run: Run) -> SafeString:
        """The run's steps, coloured as on the page."""
        return _transcript(Run.objects.filter(pk=run.pk))


admin.site.unregister(User)
admin.site.unregister(Group)


class RetentionInline(RetentionInlineAdmin):
    """For how long chats of the group's people are kept."""

    model = Retention


@admin.register(Group)
class TeamAdmin(GroupModelAdmin):
    """Groups, with what holds for their people."""

    inlines = (RetentionInline,)


@admin.register(Process)
class ProcessAdmin(_LookOnly, ProcessModelAdmin):
    """The processes that live, as their last heartbeats say."""

    list_display = (
        "name",
        "role",
        "version",
        "running",
        "slots",
        "started_at",
        "heartbeat",
        "is_held",
    )
    list_filter = ("role", "version")
    fields = list_display
    readonly_fields = fields

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """A process whose row is gone gives its runs up."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, and above it what there is to do."""
        load = store.load()
        title = (
            f"Slots in use: {load.running} of {load.slots}. Chats that wait:"
            f" {load.startable}, the first for {load.wait:.0f} s."
        )
        return super().changelist_view(request, {"title": title})

    @admin.display(description="lock held", boolean=True)
    def is_held(self, process: Process) -> bool:
        """Whether its death would be noticed at once, and not by its heartbeat."""
        return process.lock_pid is not None


@admin.register(AccessToken)
class AccessTokenAdmin(_LookOnly, AccessTokenModelAdmin):
    """Whose programs come in with what. Rows that open nothing go after a month."""

    list_display = (
        "name",
        "user",
        "prefix",
        "scope",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "prefix")
    fields = list_display
    readonly_fields = fields
    actions = ("revoke",)

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Revoked ones are still known: whoever brings one is not guessing."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether they may end tokens."""
        return request.user.has_perm("chat.change_accesstoken")

    @admin.action(description="Revoke the chosen tokens", permissions=["revoke"])
    def revoke(self, _request: HttpRequest, chosen: QuerySet[AccessToken]) -> None:
        """End them, and what programs have open with them."""
        chosen.filter(revoked_at=None).update(revoked_at=Now())
        runtime.call_soon(lambda running: running.changed_hands.set())


@admin.register(User)
class PersonAdmin(UserModelAdmin):
    """Users, who can be deleted with all their sessions."""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with the users, counted."""
        sessions = Session.objects.filter(owner__in=objs)
        counts = {"users": len(objs)} | _counts(sessions)
        may = {
            "user": self.has_delete_permission(request),
            "session": not sessions or request.user.has_perm("chat.delete_session"),
        }
        missing = {what for what, allowed in may.items() if not allowed}
        return [str(user) for user in objs], counts, missing, []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete one user and all their sessions."""
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete the chosen users and all their sessions."""
        _tell(forget(list(queryset.values_list("pk", flat=True))))
