"""What becomes of answers when processes or PostgreSQL die, hang or are restarted.

Three processes on PostgreSQL, 12 answers under way. One process is killed, or stopped:
what counts is the time until each of its answers' next token, as its viewer on another
process sees it, and that no other answer was begun anew. PostgreSQL has trouble while
a process starts: no answer may be begun anew. Four processes are replaced one after
the other under 20 answers of 20 seconds, one after the other for each viewer: no step
may be discarded, each has one reconnect, and none is told nothing for over 2 seconds.

    python -m bench.takeovers --kills 10 --stops 2 --rounds 3 --restarts 1
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final

from tests.client import Person, Viewer
from tests.fleet import Runs, database_faults, fleet, longest_silence
from tests.model_server.process import ModelServer
from tests.servers import Databases, Postgres, Site, Valkey

PROCESSES: Final = 3
RUNS: Final = 12
PATIENCE: Final = 30.0
EVENTS: Final = (
    "SELECT payload FROM chat_event JOIN chat_run ON chat_run.id = run_id"
    " WHERE session_id = ?"
)
WATCHED: Final = 6.0  # seconds after a fault
ANSWERS: Final = 20  # under way while processes are replaced
SILENCE: Final = 2.0  # seconds, that a restart may cost
LONG_ANSWER: Final = "[stream thought=200 tokens=800 rate=50]"
# A thought of a second and a call, nineteen times, and then an answer.
ROUNDS: Final = {
    "rounds": [
        *[
            {
                "actions": [
                    {"tokens": 20, "rate": 20, "to": "reasoning"},
                    {
                        "call": {
                            "name": "calculator",
                            "arguments": {"expression": "6 * 7"},
                        }
                    },
                ]
            }
        ]
        * 19,
        {"actions": [{"text": "So it is."}]},
    ]
}


async def measure(sites: Sequence[Site], kills: int, stops: int) -> bool:
    """Print the times; whether nothing was taken from a process that lived."""
    silences: dict[str, list[float]] = {"killed": [], "stopped": []}
    whole = True
    for number in range(kills + stops):
        site = sites[number % len(sites)]
        # New answers each time: one that has lost three processes is given up.
        async with fleet(sites, RUNS) as runs:
            await runs.watch_on([other for other in sites if other is not site])
            lost, expected = _about_to_lose(runs, site)
            if number < kills:
                site.kill()
                silences["killed"] += await runs.begin_anew(lost, PATIENCE)
            else:
                with site.paused():
                    silences["stopped"] += await runs.begin_anew(lost, PATIENCE)
            await runs.go_on(PATIENCE)
            whole = whole and runs.epochs == expected
            for viewer in runs.viewers:
                await viewer.send("interrupt", run=1)
        if number < kills:
            await asyncio.to_thread(site.start)
    for what, seconds in silences.items():
        _tell(what, seconds)
    return whole


def _about_to_lose(runs: Runs, site: Site) -> tuple[list[Viewer], list[int]]:
    lost = runs.of(site)
    return lost, [v.runs[1].epoch + (v in lost) for v in runs.viewers]


async def trouble(
    start: Callable[[], Site], sites: list[Site], postgres: Postgres, rounds: int
) -> bool:
    """Print what no fault of PostgreSQL may do; whether it did not."""
    whole = True
    for hung_for in (6.0, 20.0):
        faults = database_faults(postgres, hung_for)
        for fault in faults if hung_for > 6.0 else faults[-1:]:  # noqa: PLR2004
            taken = 0
            for number in range(rounds):
                # Once with all answers on one process: others have nothing to lose.
                on = sites if number else sites[:1]
                async with fleet(on, RUNS) as runs:
                    newcomer = asyncio.create_task(asyncio.to_thread(start))
                    await asyncio.to_thread(fault)
                    await runs.go_on(PATIENCE)
                    await asyncio.sleep(WATCHED)  # for whoever is mistaken
                    await runs.go_on(PATIENCE)
                    taken += sum(epoch - 1 for epoch in runs.epochs)
                    (await newcomer).stop()
                    for viewer in runs.viewers:
                        await viewer.send("interrupt", run=1)
            name = fault.__name__.replace("_", " ")
            seconds = f" for {hung_for:g} s" if fault is faults[-1] else ""
            _say(
                f"PostgreSQL: {name}{seconds}, {rounds} times: {taken} taken needlessly"
            )
            whole = whole and not taken
    return whole


async def rolling(start: Callable[[], Site], old: list[Site]) -> bool:
    """Replace the processes one by one; whether nobody saw more than a reconnect."""
    person = await asyncio.to_thread(Person, old[0].url)
    async with AsyncExitStack() as stack:
        viewers: dict[Site, list[Viewer]] = {site: [] for site in old}
        asking = []
        replaced = asyncio.Event()
        for number in range(ANSWERS):
            site = old[number % len(old)]
            viewer = person.watch([site.url])
            await stack.enter_async_context(viewer)
            viewers[site].append(viewer)
            prompt = "[scenario rounds]" if number < ANSWERS / 2 else LONG_ANSWER
            asking.append(asyncio.create_task(_keep_asking(viewer, prompt, replaced)))
        everybody = [viewer for of in viewers.values() for viewer in of]
        for viewer in everybody:
            await viewer.until(lambda: viewer.text(1, "thought"), PATIENCE, "begun")  # noqa: B023
        new = old[0]
        for site in old:
            new = await asyncio.to_thread(start)
            for viewer in viewers[site]:
                viewer.site_urls = [new.url]
            await asyncio.to_thread(site.terminate, 60)
        replaced.set()
        silences = await asyncio.gather(*asking)
        reasons = Counter(str(run.reason) for v in everybody for run in v.runs.values())
        closes = Counter(len(viewer.closes) for viewer in everybody)
        kinds = Counter(
            found
            for viewer in everybody
            for (payload,) in new.rows(EVENTS, viewer.session_id)
            for found in ('"discarded"', '"run_released"')
            if found in payload
        )
        discarded, released = kinds['"discarded"'], kinds['"run_released"']
    _say(
        f"rolling restart of {len(old)}: {dict(reasons)}, {discarded} steps discarded,"
        f" {released} hand-overs, reconnects {dict(closes)},"
        f" {max(silences):.2f} s of silence at most"
    )
    return (
        set(reasons) == {"answered"}
        and not discarded
        and set(closes) == {1}
        and max(silences) <= SILENCE
    )


async def _keep_asking(viewer: Viewer, prompt: str, replaced: asyncio.Event) -> float:
    """Ask again after each answer, until `replaced`; the longest silence in one."""
    longest, number = 0.0, 0
    while not replaced.is_set():
        number += 1
        viewer.ask(prompt)
        await viewer.until(lambda: viewer.text(number, "thought"), PATIENCE, "begun")  # noqa: B023
        longest = max(longest, await longest_silence(viewer, number))
    return longest


def _tell(what: str, silences: list[float]) -> None:
    if silences:
        _say(
            f"{what}: {len(silences)} answers went on after"
            f" {statistics.median(silences):.2f} s (median),"
            f" {max(silences):.2f} s (at most)"
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def idle_wal(site: Site, seconds: float) -> float:
    """KiB of WAL in a minute without answers: what the leases write."""
    ((before,),) = site.rows("SELECT pg_current_wal_lsn() - '0/0'")
    await asyncio.sleep(seconds)
    ((after,),) = site.rows("SELECT pg_current_wal_lsn() - '0/0'")
    return float(after - before) / 1024 * 60 / seconds


def _with_three(
    start: Callable[[], Site], postgres: Postgres, given: argparse.Namespace
) -> bool:
    """Whether nothing was taken from a process that lived."""
    sites = [start() for _ in range(PROCESSES)]
    written = asyncio.run(idle_wal(sites[0], 30))
    _say(f"idle, {PROCESSES} processes: {written:.1f} KiB of WAL/min")
    whole = asyncio.run(measure(sites, given.kills, given.stops))
    _say(f"{'nothing' if whole else 'SOMETHING'} was taken from a process that lived")
    if given.rounds:
        whole &= asyncio.run(trouble(start, sites, postgres, given.rounds))
    for site in sites:
        site.stop()
    return whole


def main() -> int:
    """Measure as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="of PostgreSQL's faults")
    parser.add_argument("--restarts", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres())
        valkey = stack.enter_context(Valkey(folder))
        model = stack.enter_context(ModelServer())
        model.add("rounds", ROUNDS)
        settings: dict[str, Any] = {
            "DATABASE_URL": Databases(folder, lambda: postgres).new("postgresql"),
            "REDIS_URL": valkey.url,
            "STATIC_ROOT": folder / "static",
            "LLM_BASE_URL": model.base_url,
            "LLM_MODEL": "hello",
            "MAX_RUNS_PER_USER": 100,
            "MAX_MESSAGES_PER_MINUTE": 1000,
        }
        collect = Site(folder, **settings)
        collect.manage("collectstatic", "--no-input", "--verbosity", "0")

        def start() -> Site:
            return stack.enter_context(Site(folder, **settings))

        whole = True
        if given.kills or given.stops or given.rounds:
            whole &= _with_three(start, postgres, given)
        for _ in range(given.restarts):
            whole &= asyncio.run(rolling(start, [start() for _ in range(4)]))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
