"""The watches of a process: nothing ends them, and they can be woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.db import OperationalError

from chat import runtime
from chat.runtime import Runtime

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def process() -> AsyncIterator[Runtime]:
    yield runtime.current()
    await runtime.close()


async def test_a_watch_goes_on_after_whatever_its_check_raises(
    process: Runtime,
) -> None:
    errors: list[Exception] = [OperationalError("away"), ValueError("a bug")]
    checked = asyncio.Event()

    async def check() -> None:
        if errors:
            raise errors.pop()
        checked.set()

    watch = process._watch(check, 0.001)
    async with asyncio.timeout(10):
        await checked.wait()
    assert not watch.done()
    watch.cancel()


async def test_a_watch_that_is_woken_does_not_wait_for_its_time(
    process: Runtime,
) -> None:
    sooner = asyncio.Event()
    checks = asyncio.Semaphore(0)

    async def check() -> None:
        checks.release()

    watch = process._watch(check, 3600, sooner=sooner)
    async with asyncio.timeout(10):
        await checks.acquire()
        sooner.set()
        await checks.acquire()
    watch.cancel()


async def test_what_is_called_from_a_thread_happens_on_the_loop(
    process: Runtime,
) -> None:
    happened = asyncio.Event()

    def act(running: Runtime) -> None:
        assert asyncio.get_running_loop() is running.loop
        happened.set()

    await asyncio.to_thread(runtime.call_soon, act)
    async with asyncio.timeout(10):
        await happened.wait()
