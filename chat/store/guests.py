"""Guests who have become users: their keys open nothing any more."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from chat.models import FormerGuest, Session


def adopt(guest_key: str, user_id: int) -> None:
    """Make a guest's sessions a user's, deleted ones too; runs in them go on."""
    guests = Session.objects.filter(guest_key=guest_key, owner=None)
    if guest_key and guests.exists():  # seldom: no write lock for nothing
        guests.update(owner_id=user_id, guest_key="")


def retire_guest(guest_key: str, user_id: int) -> None:
    """Make a guest a user: what they said is the user's, and the key is over."""
    FormerGuest.objects.bulk_create([FormerGuest(key=guest_key)], ignore_conflicts=True)
    adopt(guest_key, user_id)


def former_guests(keys: AbstractSet[str]) -> set[str]:
    """Which of these keys are over."""
    known = keys - {""}
    if not known:
        return set()
    former = FormerGuest.objects.filter(key__in=known)
    return set(former.values_list("key", flat=True))
