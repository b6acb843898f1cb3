"""How static files are kept for production: few, compressed, hashed, cached long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.urls import get_script_prefix
from servestatic.storage import CompressedManifestStaticFilesStorage

from reasoning_site import bundle


class BundlingStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """Gather scripts and styles, hash all files, rewrite the imports to match."""

    support_js_module_import_aggregation = True

    def url(self, name: str | None, *args: Any, **options: Any) -> str:
        """The file's address, below the path at which the site is served."""
        prefix = get_script_prefix().rstrip("/")
        address = str(super().url(name, *args, **options))
        # With FORCE_SCRIPT_NAME, Django has put the prefix before STATIC_URL itself.
        return address if address.startswith(f"{prefix}/") else prefix + address

    def post_process(
        self, paths: dict[str, Any], *args: Any, **options: Any
    ) -> Iterator[Any]:
        """Add the bundles to what was collected, then as ever."""
        script = bundle.script(bundle.source)
        made = {
            bundle.SCRIPT: script.text(),
            bundle.LATE: script.late_text(),
            bundle.STYLE: bundle.style(bundle.source),
        }
        for name, text in made.items():
            self.delete(name)
            self.save(name, ContentFile(text.encode()))
            paths[name] = (self, name)
        yield from super().post_process(paths, *args, **options)


def collect_static_files() -> None:
    """Run collectstatic, unless no file has changed since it ran last."""
    mark = Path(settings.STATIC_ROOT) / ".collected"
    state = _state_of_static_files()
    if not mark.is_file() or mark.read_text("ascii") != state:
        call_command("collectstatic", interactive=False, verbosity=0)
        mark.write_text(state, encoding="ascii")


def _state_of_static_files() -> str:
    """A digest of names, sizes and times of all static files, and of what they pass."""
    digest = hashlib.sha256()
    files = {Path(__file__).name: __file__, "bundle.py": bundle.__file__}
    for finder in get_finders():
        files |= {name: storage.path(name) for name, storage in finder.list([])}
    for name, path in files.items():
        file = Path(path).stat()
        digest.update(f"{name} {file.st_size} {file.st_mtime_ns}\n".encode())
    return digest.hexdigest()
