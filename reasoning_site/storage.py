"""How static files are kept for production: compressed, hashed, cached for ever."""

from __future__ import annotations

from servestatic.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # untyped
    """Hash static files, and rewrite the imports between ES modules to match."""

    support_js_module_import_aggregation = True
