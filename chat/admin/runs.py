"""Single runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from chat.admin.auditing import Audited
from chat.admin.looking import AnswerSearch, LookOnly, answers, transcript
from chat.models import Run, Session

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    RunModelAdmin = admin.ModelAdmin[Run]
else:
    RunModelAdmin = admin.ModelAdmin

MAX_BRIEF_CHARS = 80


@admin.register(Run)
class RunAdmin(Audited, AnswerSearch, LookOnly, RunModelAdmin):
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

    def session_of(self, shown: Run) -> Session:
        """Where it was asked."""
        return shown.session

    def contains(self, word: str) -> Q:
        """Prompt or answer."""
        return Q(prompt__icontains=word) | Q(id__in=answers(word).values("run"))

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
        return transcript(Run.objects.filter(pk=run.pk))
