"""`manage.py setup_admin`: the first account, made once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

NAME = "admin"
FILE = "admin-password.txt"


class Command(BaseCommand):
    """Makes the account `admin` where there is no administrator yet."""

    help = "Makes the account `admin` with a generated password, if there is none yet."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Make the account and say where its password is kept.

        The password itself is for a terminal: what a service prints goes into a log.
        """
        users = get_user_model()
        if users.objects.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        kept = keep(password, settings.DATA_DIR / FILE)
        users.objects.create_superuser(NAME, password=password)
        shown = f"{password} (kept in {kept})" if self.stdout.isatty() else kept
        self.stdout.write(f"Administrator: {NAME}, password: {shown}")


def keep(password: str, file: Path) -> Path:
    """Write the password where only the site's own user can read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(password + "\n", encoding="utf-8")
    return file
