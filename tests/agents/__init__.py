"""The agents, on real parts: a model server's process, and the built-in model."""

from __future__ import annotations
