"""How static files are kept for production: compressed, hashed, cached for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from servestatic.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """Hash static files, and rewrite the imports between ES modules to match."""

    support_js_module_import_aggregation = True


def collect_static_files() -> None:
    """Run collectstatic, unless no file has changed since it ran last."""
    mark = Path(settings.STATIC_ROOT) / ".collected"
    state = _state_of_static_files()
    if not mark.is_file() or mark.read_text("ascii") != state:
        call_command("collectstatic", interactive=False, verbosity=0)
        mark.write_text(state, encoding="ascii")


def _state_of_static_files() -> str:
    """A digest of the names, sizes and times of all static files."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            file = Path(storage.path(name)).stat()
            digest.update(f"{name} {file.st_size} {file.st_mtime_ns}\n".encode())
    return digest.hexdigest()
