"""How many streams of tokens one core carries: the site, and a bare relay beside it.

    python -m bench.streams --streams 40 --rate 50 --seconds 10

Both answer the same prompts from the same model server in the same run, one after
the other, each as one uvicorn process; what counts is the ratio. The site stores and
numbers every token in PostgreSQL (or SQLite) on the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import websockets

from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Server, Site


class Relay(Server):
    """The bare relay, as one uvicorn process."""

    name = "relay"

    def __init__(self, folder: Path, base_url: str) -> None:
        super().__init__(folder)
        self._base_url = base_url

    def command(self) -> list[str]:
        """Like the site's."""
        return [
            *(sys.executable, "-m", "uvicorn", "bench.relay:application"),
            *("--port", str(self.port), "--ws", "websockets-sansio"),
            *("--ws-per-message-deflate", "false", "--lifespan", "off"),
            *("--log-level", "warning"),
        ]

    def environment(self) -> dict[str, str]:
        """Where the model is."""
        return {**os.environ, "LLM_BASE_URL": self._base_url}


@dataclass
class Result:
    """What one server did while all streams ran."""

    name: str
    tokens: int
    cpu: float  # seconds of the process, in user and in system mode

    @property
    def microseconds(self) -> float:
        """CPU a token."""
        return self.cpu / self.tokens * 1e6


async def measure(
    name: str,
    server: Server,
    model: ModelServer,
    streams: int,
    rate: float,
    seconds: float,
) -> Result:
    """Have `streams` answers streamed at once, each to one viewer.

    Measured is a window in the middle: beginning a run is not a token's cost.
    """
    url = f"ws://127.0.0.1:{server.port}/ws/chat/{{session}}"
    await _watch(url, "[stream tokens=20 rate=50]", asyncio.Event())
    begun = [asyncio.Event() for _ in range(streams)]
    # Enough for everybody to begin, and to be there till the end.
    prompt = f"[stream tokens={int(rate * (seconds + 60))} rate={rate:g}]"
    watching = [asyncio.create_task(_watch(url, prompt, event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))
    # What the model really wrote: on a busy machine it falls behind its rate.
    written, cpu = tokens_written(model), cpu_seconds(server.pid)
    await asyncio.sleep(seconds)
    cpu = cpu_seconds(server.pid) - cpu
    written = tokens_written(model) - written
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return Result(name, written, cpu)


async def _watch(url: str, prompt: str, begun: asyncio.Event) -> None:
    address = url.format(session=uuid4())
    async with websockets.connect(address, compression=None, max_size=None) as socket:
        await socket.send('{"type":"subscribe","payload":{"protocol":2}}')
        chat = {"type": "chat", "payload": {"message": prompt, "client_id": "1"}}
        await socket.send(json.dumps(chat))
        async for frame in socket:
            if not begun.is_set() and '"text"' in str(frame):
                begun.set()
            if '"run_finished"' in str(frame) or frame == '{"type": "end"}':
                break


def tokens_written(model: ModelServer) -> int:
    """By all its streams so far."""
    return sum(request["tokens"] for request in model.requests())


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(streams: int, rate: float, seconds: float) -> list[Result]:
    """Measure all servers, one after the other."""
    bounds = dict.fromkeys(
        (
            "MAX_RUNS",
            "MAX_RUNS_PER_USER",
            "MAX_SOCKETS_PER_ADDRESS",
            "MAX_MESSAGES_PER_MINUTE",
        ),
        10_000,
    )
    results = []
    with (
        tempfile.TemporaryDirectory() as name,
        ModelServer() as model,
        Postgres() as postgres,
    ):
        folder = Path(name)
        databases = Databases(folder, lambda: postgres)
        with Relay(folder, model.base_url) as relay:
            results.append(
                await measure("bare relay", relay, model, streams, rate, seconds)
            )
        for vendor in ("sqlite", "postgresql"):
            site = Site(
                folder,
                DATABASE_URL=databases.new(vendor),
                LLM_BASE_URL=model.base_url,
                LLM_MODEL="hello",
                LOG_LEVEL="WARNING",
                **{key: str(value) for key, value in bounds.items()},
            )
            with site:
                results.append(
                    await measure(
                        f"site, {vendor}", site, model, streams, rate, seconds
                    )
                )
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=40)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    results = asyncio.run(run(given.streams, given.rate, given.seconds))
    relay = results[0]
    lines = [
        f"{given.streams} streams of {given.rate:g} tokens/s for {given.seconds:g} s",
        f"{'':18} {'µs/token':>9} {'ratio':>6} {'streams/core':>13}",
    ]
    for result in results:
        ratio = result.microseconds / relay.microseconds
        carried = 1e6 / result.microseconds / given.rate
        lines.append(
            f"{result.name:18} {result.microseconds:9.0f} {ratio:6.2f} {carried:13.0f}"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
