"""Finding words whatever their case, on both databases."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created
from django.db.models import CharField, Q, TextField, Transform
from django.dispatch import receiver


def contains(field: str, text: str) -> Q:
    """Rows whose `field` has `text` in it, in capitals or not."""
    if connection.vendor == "sqlite" and not text.isascii():
        # SQLite's own LIKE knows the case of ASCII only.
        return Q(**{f"{field}__casefold__contains": text.casefold()})
    return Q(**{f"{field}__icontains": text})


@CharField.register_lookup
@TextField.register_lookup
class Casefold(Transform):
    """The text without its case: `title__casefold__contains`. SQLite only."""

    lookup_name = "casefold"
    function = "CASEFOLD"


@receiver(connection_created)
def _teach_sqlite(connection: Any, **_kwargs: Any) -> None:
    if connection.vendor == "sqlite":
        sqlite = connection.connection
        sqlite.create_function("CASEFOLD", 1, _casefold, deterministic=True)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()
