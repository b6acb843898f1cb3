"""The client, for programs without asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

from reasoning_client.asynchronous import AsyncClient, AsyncRun
from reasoning_client.fold import RunState, Step

T = TypeVar("T")


class Client:
    """A site, and who one is there. For one thread."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        patience: float = 60.0,
    ) -> None:
        """As AsyncClient's."""
        self._client = AsyncClient(url, token, headers=headers, patience=patience)
        self._runner = asyncio.Runner()

    def ask(
        self, message: str, *, agent: str | None = None, session: UUID | None = None
    ) -> Run:
        """Ask, in a new chat or in `session`. It is sent when the run is iterated."""
        run = self._client.ask(message, agent=agent, session=session)
        return Run(run, self._runner)

    def close(self) -> None:
        """Close all connections. What was asked is answered all the same."""
        self._runner.close()

    def __enter__(self) -> Self:
        """Close it at the end of a `with`."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


class Run:
    """What becomes of a question. Iterate over it, once: its steps as they finish."""

    def __init__(self, run: AsyncRun, runner: asyncio.Runner) -> None:
        self._run = run
        self._runner = runner

    @property
    def session(self) -> UUID:
        """The chat."""
        return self._run.session

    @property
    def number(self) -> int:
        """The run's number in its chat; 0 before it is taken."""
        return self._run.number

    @property
    def state(self) -> RunState:
        """The run as far as it is known."""
        return self._run.state

    def __iter__(self) -> Iterator[Step]:
        """Each step once it is finished. Raises RunFailed, Refused, ClientError."""
        return self._each(self._run.__aiter__())

    def updates(self) -> Iterator[RunState]:
        """The run's state, each time there is more of it. Raises as iterating."""
        return self._each(self._run.updates())

    def answer(self) -> str:
        """The text of the answer, once it is there. Raises as iterating."""
        return self._runner.run(self._run.answer())

    def stop(self) -> None:
        """End the run, keeping what has been written."""
        self._runner.run(self._run.stop())

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T:
            return await anext(items)

        async def leave() -> None:
            if close := getattr(items, "aclose", None):
                await close()

        try:
            while True:
                try:
                    item = self._runner.run(following())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._runner.run(leave())
