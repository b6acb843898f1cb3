"""A page that says what to do, where the database has not been set up yet."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin


class SetupNeededMiddleware(MiddlewareMixin):
    """Answers 503 and names the command, instead of a traceback, before `migrate`."""

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Explain the exception, if that is its cause; None lets it go its way."""
        if not isinstance(exception, DatabaseError) or not migrations_are_missing():
            return None
        return render(request, "setup_needed.html", status=503)


def migrations_are_missing() -> bool:
    """Whether the database can be asked, and lacks tables or columns."""
    try:
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False
