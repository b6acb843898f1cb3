"""The processes that live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from chat import store
from chat.admin.looking import LookOnly
from chat.models import Process

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    ProcessModelAdmin = admin.ModelAdmin[Process]
else:
    ProcessModelAdmin = admin.ModelAdmin


@admin.register(Process)
class ProcessAdmin(LookOnly, ProcessModelAdmin):
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
