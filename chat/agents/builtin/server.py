"""The built-in model's own process: llama.cpp's OpenAI-compatible server on loopback.

Started by `model.py` as `python -m chat.agents.builtin.server`. It takes its
parameters as JSON in the first line of standard input, prints one line of JSON with
its port, and ends as soon as standard input does: so it never outlives the site,
however that ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve() -> None:
    """Load the model, say where it is, and serve until the parent is gone."""
    wanted = json.loads(sys.stdin.readline())
    # llama.cpp writes to the standard streams; the parent wants one line from us.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = _start(wanted)
    port = int(str(server.listening_address).rsplit(":", 1)[1])
    print(json.dumps({"port": port}), file=out, flush=True)
    while sys.stdin.readline():
        pass
    os._exit(0)


def _start(wanted: dict[str, Any]) -> Any:
    import xllamacpp  # noqa: PLC0415 - only this process loads it

    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [wanted["key"]]
    params.n_parallel = wanted["parallel"]
    params.n_ctx = wanted["context"] * wanted["parallel"]
    params.cpuparams.n_threads = wanted["threads"]
    params.cpuparams_batch.n_threads = wanted["threads"]
    params.n_threads_http = 2 * wanted["parallel"] + 2
    params.cache_ram_mib = 0
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.warmup = True
    params.verbosity = 0
    return xllamacpp.Server(params)


if __name__ == "__main__":
    serve()
