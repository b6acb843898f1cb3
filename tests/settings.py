"""The site's settings for tests: nothing of the developer's own, nothing to keep."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

_SETTINGS = Path(__file__).parent.parent / "reasoning_site" / "settings.py"
for _name in re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', _SETTINGS.read_text("utf-8")):
    os.environ.pop(_name, None)

_folder = tempfile.TemporaryDirectory(prefix="reasoning-site-tests-")
os.environ["DATA_DIR"] = _folder.name
(Path(_folder.name) / "static").mkdir()  # servestatic warns where there is none
# To run the suite itself on PostgreSQL.
if _url := os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = _url

from reasoning_site.settings import *  # noqa: E402, F403
from reasoning_site.settings import STORAGES  # noqa: E402

# Pages are rendered in tests without collecting and hashing static files first.
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
