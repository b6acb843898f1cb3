"""The tools that ship with the site, one file each."""

from __future__ import annotations
