"""A model server that plays scenarios: the way to reproduce what a model does.

See README.md in this folder. `ModelServer` starts it as a process of its own.
"""

from __future__ import annotations

from tests.model_server.process import ModelServer, eventually

__all__ = ["ModelServer", "eventually"]
