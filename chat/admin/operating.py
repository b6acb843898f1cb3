"""Who is connected, to all servers; what people are told; maintenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from msgspec import Struct

from chat import runtime, store
from chat.models import Census, Order
from chat.store.directives import (
    Connection,
    Directive,
    HangUp,
    Maintain,
    Notify,
    Report,
)

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    CensusModelAdmin = admin.ModelAdmin[Census]
    OrderModelAdmin = admin.ModelAdmin[Order]
else:
    CensusModelAdmin = OrderModelAdmin = admin.ModelAdmin

OPERATE: Final = "chat.operate"
REFRESH_SECONDS: Final = 3
MAINTENANCE: Final = "Maintenance: new questions wait until it is over."


class _Page:
    """A page of the operators' own in place of a list of rows."""

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return request.user.has_perm(OPERATE)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(OPERATE)


def direct(
    request: HttpRequest, directive: Directive, action: store.Action, **what: Any
) -> None:
    """Have every process do it, and note who wanted that."""
    store.audit(action, request.user.pk, **what)
    store.direct(directive)
    runtime.call_soon(lambda running: running.directed())


class Shown(Struct, frozen=True):
    """A connection as the page shows it."""

    connection: Connection
    who: str
    since: datetime


class Server(Struct, frozen=True):
    """A process, and the connections that are shown of it."""

    name: str
    at: datetime
    total: int
    connections: list[Shown]


@admin.register(Census)
class CensusAdmin(_Page, CensusModelAdmin):
    """The connections of all servers, as they are now."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, which asks for what it shows the next time; POST: hang up."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._hang_up(request)
        store.direct(Report())
        runtime.call_soon(lambda running: running.directed())
        context = {
            **self.admin_site.each_context(request),
            "title": "Connections",
            "servers": _servers(),
        }
        page = TemplateResponse(request, "chat/admin/connections.html", context)
        page["Refresh"] = str(REFRESH_SECONDS)
        return page

    def _hang_up(self, request: HttpRequest) -> HttpResponse:
        user = request.POST.get("user", "")
        number = int(user) if user.isdecimal() else None
        name = request.POST.get("connection", "")[:64]
        if number is None and not name:
            return HttpResponse("Whose?", status=400)
        directive = HangUp(number, name)
        direct(request, directive, store.Action.HUNG_UP, user=number)
        messages.success(request, "Connections are being closed; who wants comes back.")
        return HttpResponseRedirect(request.path)


def _servers() -> list[Server]:
    reports = store.reported()
    connections = [each for report in reports for each in report.connections]
    users = User.objects.in_bulk({c.user for c in connections if c.user is not None})
    return [
        Server(
            report.process,
            report.at,
            report.total,
            [
                Shown(
                    each,
                    _who(each.user, users),
                    datetime.fromtimestamp(each.since, UTC),
                )
                for each in report.connections
            ],
        )
        for report in reports
    ]


def _who(user_id: int | None, users: Mapping[int, User]) -> str:
    if user_id is None:
        return "guest"
    return users[user_id].get_username() if user_id in users else "–"


class NoticeForm(forms.Form):
    """What people are to be told, and which."""

    text = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
    group = forms.ModelChoiceField(
        Group.objects.all(), required=False, empty_label="Everybody"
    )


class MaintenanceForm(forms.Form):
    """What people are told as long as it lasts."""

    text = forms.CharField(max_length=200, initial=MAINTENANCE)


@admin.register(Order)
class OrderAdmin(_Page, OrderModelAdmin):
    """Notices to who is connected, and maintenance."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Forms; POST: do what `act` names."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        notice, maintenance = NoticeForm(), MaintenanceForm()
        if request.method == "POST":
            acts: dict[str, Callable[[], str]] = {
                "notify": lambda: _notify(request, notice),
                "close": lambda: _close(request, maintenance),
                "open": lambda: _open(request),
            }
            act = request.POST.get("act", "")
            if act == "notify":
                notice = NoticeForm(request.POST)
            elif act == "close":
                maintenance = MaintenanceForm(request.POST)
            if act in acts and (done := acts[act]()):
                messages.success(request, done)
                return HttpResponseRedirect(request.path)
        context = {
            **self.admin_site.each_context(request),
            "title": "Notices and maintenance",
            "notice": notice,
            "maintenance": maintenance,
            "standing": store.maintenance(),
        }
        return TemplateResponse(request, "chat/admin/operate.html", context)


def _notify(request: HttpRequest, form: NoticeForm) -> str:
    """What was done; empty where the form is not right."""
    if not form.is_valid():
        return ""
    group = form.cleaned_data["group"]
    directive = Notify(form.cleaned_data["text"], group=group.pk if group else None)
    direct(request, directive, store.Action.NOTIFIED)
    return f"Told {group.name if group else 'everybody'} who is connected."


def _close(request: HttpRequest, form: MaintenanceForm) -> str:
    if not form.is_valid():
        return ""
    direct(request, Maintain(form.cleaned_data["text"]), store.Action.CLOSED)
    return "Maintenance: nothing new begins; what is being answered ends in peace."


def _open(request: HttpRequest) -> str:
    direct(request, Maintain(), store.Action.OPENED)
    return "Maintenance is over."
