"""Measure the site beside relays that store nothing: `make bench`.

    python -m bench [part …]

All parts run one after the other on this machine; what counts are ratios within one
run. The scripted model server stands for a real one.
"""

from __future__ import annotations

import argparse

import uvloop

from bench import fanout, log_size, processes, starts, tokens, viewers
from bench.harness import house

PARTS = {
    "alone": tokens.alone,
    "starts": starts.starts,
    "crowd": tokens.crowd,
    "ramp": tokens.ramp,
    "two": processes.two,
    "fanout": fanout.fanout,
    "idle": processes.idle,
    "viewers": viewers.watching,
    "back": viewers.coming_back,
    "log": log_size.log_size,
    "soak": viewers.soak,
}


async def run(parts: list[str]) -> None:
    """Print a table for each part."""
    for part in parts:
        with house() as servers:
            await PARTS[part](servers)


def main() -> None:
    """Read which parts are wanted; most where none is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    wanted = parser.parse_args().parts or [part for part in PARTS if part != "soak"]
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    uvloop.run(run(wanted))


if __name__ == "__main__":
    main()
