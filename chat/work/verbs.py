"""What people do with runs: ask, retry, stop. A run belongs to no socket."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.conf import settings

from chat import store
from chat.access import Identity
from chat.agents import registry
from chat.live.feeds import Feeds
from chat.live.hub import Hub
from chat.store import AddressLimit, Asked
from chat.store.database import db, urgent
from chat.wire.protocol import Chat, ProtocolError
from chat.work.scheduler import Scheduler


class Verbs:
    """Begin and end runs, whichever process drives them."""

    def __init__(self, hub: Hub, feeds: Feeds, scheduler: Scheduler) -> None:
        self._hub = hub
        self._feeds = feeds
        self._scheduler = scheduler

    async def ask(
        self, session_id: UUID, who: Identity, chat: Chat, address_key: str = ""
    ) -> Asked:
        """Store a message; return when it is committed. It starts when it can.

        `address_key` is set where an address, not a person, has so many runs.
        Raises ProtocolError, NotYoursError, NotAllowedError.
        """
        check_agent(chat.agent_name)
        agent_name = registry.mentioned(chat.message) or chat.agent_name
        ask = partial(
            store.ask,
            session_id,
            who,
            prompt=chat.message,
            agent_name=agent_name,
            enable_reasoning=chat.enable_reasoning,
            client_id=chat.client_id,
            max_queued=settings.MAX_QUEUED_RUNS,
            address=_address_limit(address_key),
            closed=self._scheduler.maintenance,
        )
        return await self._scheduler.to_the_end(
            self._begin(session_id, ask, who, agent_name or registry.default())
        )

    async def retry(
        self, session_id: UUID, who: Identity, number: int, address_key: str = ""
    ) -> Asked:
        """Run a finished run's prompt again. Raises as `ask`."""
        if closed := self._scheduler.maintenance:
            raise ProtocolError("model_unavailable", closed, retryable=True)
        retry = partial(store.retry, session_id, who, number, settings.MAX_QUEUED_RUNS)
        return await self._scheduler.to_the_end(self._begin(session_id, retry, who))

    async def stop(
        self, session_id: UUID, who: Identity, number: int | None, seen: int | None
    ) -> None:
        """End a run, wherever it is driven. Raises as `ask`."""
        stopped = await urgent(store.stop, session_id, who, number, seen)
        self._hub.publish([(stopped.written.session_id, stopped.written.frame)])
        self._scheduler.give_up_everywhere([stopped.run_id])
        self._scheduler.wake(session_id, is_guest=who.user_id is None)

    async def _begin(
        self,
        session_id: UUID,
        store_run: Callable[..., Asked],
        who: Identity,
        agent_name: str = "",
    ) -> Asked:
        """Store a run and, where its turn has come, drive it.

        `agent_name` is asked where the session begins with this.
        """
        with self._scheduler.slot(is_guest=who.user_id is None) as claimant:
            asked = await db(store_run, claimant=claimant)
        if asked.written is None:
            return asked
        if asked.title is not None and (feed := self._feeds.of(session_id)) is not None:
            # Before its first event: who watches need not read whose the session is.
            feed.begin(who, asked.title, agent_name)
        self._hub.publish([(session_id, asked.written.frame)])
        if asked.title is not None:
            self._hub.announce(session_id, {"title": asked.title})
        if asked.claimed is not None:
            self._scheduler.drive(asked.claimed)
        else:
            self._scheduler.wake(session_id, is_guest=who.user_id is None)
        return asked


def _address_limit(key: str) -> AddressLimit | None:
    return AddressLimit(key, settings.MAX_RUNS_PER_USER) if key else None


def check_agent(name: str | None) -> None:
    """Raise ProtocolError (`unknown_agent`) where there is no agent of that name."""
    known = [agent.name for agent in registry.describe()]
    if name is not None and name not in known:
        message = f"There is no such agent. There are: {', '.join(known)}."
        raise ProtocolError("unknown_agent", message)
