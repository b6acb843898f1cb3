"""`manage.py prepare`: everything between installing the site and starting it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from argparse import ArgumentParser
from shlex import quote
from typing import Any, Final

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from chat import store
from chat.agents import registry
from chat.agents.model.local import find_local_servers
from reasoning_site.storage import collect_static_files

INSTALL: Final = settings.BASE_DIR / "scripts" / "install-python.sh"


class Command(BaseCommand):
    """Migrates, tidies, collects static files, makes the first account."""

    help = "Brings the database and the static files up to date before a start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address that the site is about to listen on."""
        parser.add_argument("--listen", metavar="HOST:PORT", help="is it free?")
        parser.add_argument(
            "--install", action="store_true", help="what agents with files need"
        )

    def handle(
        self,
        *_args: Any,
        listen: str | None = None,
        install: bool = False,
        **_options: Any,
    ) -> None:
        """Prepare, and say where to look; safe to repeat."""
        if listen:
            ensure_free(listen)
        if install:
            self._install_for_files()
        call_command("migrate", interactive=False, verbosity=0)
        store.clean_up()
        if not settings.DEBUG:  # with DEBUG they are served from where they are
            collect_static_files()
        call_command("setup_admin", stdout=self.stdout)
        if listen:
            self._offer_local_model(split(listen)[1])
            self.stdout.write(self.style.SUCCESS(f"Open {address(listen)}"))

    def _install_for_files(self) -> None:
        """Install what agents of one's own need that have files."""
        names = registry.lacking_packages()
        if not names:
            return
        has = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'}"
        self.stdout.write(
            f"{has} files to look things up in: installing what reads them"
        )
        try:
            subprocess.run([INSTALL, sys.prefix, "rag"], check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError):
            self.stdout.write(f"Going on without: {', '.join(names)} out of order.")

    def _offer_local_model(self, own_port: int) -> None:
        """Where the small built-in model answers, name a larger one that runs here."""
        model = registry.model_info()
        if model is None or not model.builtin or settings.BUILTIN_MODEL_PATH:
            return
        for server in find_local_servers(but=own_port):
            self.stdout.write(
                f"{server.name} answers on this machine. To use it: "
                f"LLM_BASE_URL={server.base_url} LLM_MODEL={quote(server.model)} "
                "make run"
            )


def ensure_free(listen: str) -> None:
    """Raise CommandError if something else listens there already."""
    host, port = split(listen)
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        message = (
            f"Cannot listen on {listen}: {why}. If another program has the port, "
            f"choose another: PORT={port + 1}"
        )
        raise CommandError(message) from error


def address(listen: str) -> str:
    """What to type into a browser on this machine."""
    host, port = split(listen)
    shown = "127.0.0.1" if host in {"", "0.0.0.0"} else host  # noqa: S104
    return f"http://{shown}:{port}/"


def split(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise CommandError(f"{listen!r} is not host:port.")
    return host, int(port)
