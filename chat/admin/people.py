"""Users and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from chat import store
from chat.admin.deleting import NamesNothing, counts, tell
from chat.admin.operating import OPERATE, direct
from chat.auth.forgetting import forget
from chat.models import Retention, Session
from chat.store.directives import HangUp

if TYPE_CHECKING:  # at run time ModelAdmin takes no argument
    UserModelAdmin = UserAdmin[User]
    RetentionInlineAdmin = admin.TabularInline[Retention, Group]
else:
    UserModelAdmin = UserAdmin
    RetentionInlineAdmin = admin.TabularInline

admin.site.unregister(User)
admin.site.unregister(Group)


class RetentionInline(RetentionInlineAdmin):
    """For how long chats of the group's people are kept."""

    model = Retention


@admin.register(Group)
class TeamAdmin(GroupAdmin):
    """Groups, with what holds for their people."""

    inlines = (RetentionInline,)


@admin.register(User)
class PersonAdmin(NamesNothing, UserModelAdmin):
    """Users, who can be deleted with all their sessions."""

    actions = ("hang_up",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether they may close others' connections."""
        return request.user.has_perm(OPERATE)

    @admin.action(description="Close their connections", permissions=["operate"])
    def hang_up(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        """On all servers; who may still come in comes back."""
        for user_id in chosen.values_list("pk", flat=True):
            action = store.Action.HUNG_UP
            direct(request, HangUp(user_id), action, user=user_id)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with the users, counted."""
        sessions = Session.objects.filter(owner__in=objs)
        going = {"users": len(objs)} | counts(sessions)
        may = {
            "user": self.has_delete_permission(request),
            "session": not sessions or request.user.has_perm("chat.delete_session"),
        }
        missing = {what for what, allowed in may.items() if not allowed}
        return [str(user) for user in objs], going, missing, []

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete one user and all their sessions."""
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete the chosen users and all their sessions."""
        user_ids = list(queryset.values_list("pk", flat=True))
        with transaction.atomic():
            for user_id in user_ids:
                store.audit(store.Action.ACCOUNT_DELETED, request.user.pk, user=user_id)
            tell(forget(user_ids))
