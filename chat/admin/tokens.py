"""Access tokens of programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from chat import runtime, store
from chat.admin.looking import LookOnly
from chat.models import AccessToken

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    AccessTokenModelAdmin = admin.ModelAdmin[AccessToken]
else:
    AccessTokenModelAdmin = admin.ModelAdmin


@admin.register(AccessToken)
class AccessTokenAdmin(LookOnly, AccessTokenModelAdmin):
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
    def revoke(self, request: HttpRequest, chosen: QuerySet[AccessToken]) -> None:
        """End them, and what programs have open with them."""
        with transaction.atomic():
            count = chosen.filter(revoked_at=None).update(revoked_at=Now())
            store.audit(store.Action.TOKENS_REVOKED, request.user.pk, count=count)
        runtime.call_soon(lambda running: running.changed_hands.set())
