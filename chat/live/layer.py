"""Channels' Redis pub/sub layer, with what the hub needs besides."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable"  # the type of a message that could not be read


class SiteChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # untyped
    """The layer of one Redis (CONFIG has one host)."""

    async def group_send_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[bool]:
        """Send messages to their groups, in order. Returns which were heard elsewhere.

        Two round trips for all of them: first it is asked who listens, and what no
        other process hears is not even encoded. Who comes later has missed nothing
        that a reader of the log would: they subscribe before they read it.
        """
        layer = self._get_layer()
        names = [layer._get_group_channel_name(group) for group, _ in messages]  # noqa: SLF001
        shard = layer._get_shard(names[0])  # noqa: SLF001
        async with shard._lock:  # noqa: SLF001  (connecting is not to happen twice)
            shard._ensure_redis()  # noqa: SLF001
            redis = shard._redis  # noqa: SLF001
        listening = {
            name.decode(): count - (name.decode() in layer.groups)
            for name, count in await redis.pubsub_numsub(*set(names))
        }
        pipeline = redis.pipeline(transaction=False)
        heard = [listening[name] > 0 for name in names]
        for name, is_heard, (_, message) in zip(names, heard, messages, strict=True):
            if is_heard:
                pipeline.publish(name, self.serialize(message))
        if any(heard):
            await pipeline.execute()
        return heard

    def deserialize(self, message: bytes) -> dict[str, Any]:
        """The message; where it is none of ours, one of the type `UNREADABLE`.

        Raising would end whoever receives, for one message.
        """
        try:
            found: Any = super().deserialize(message)
        except Exception as error:  # noqa: BLE001  (whatever a decoder raises)
            logger.warning("a message that cannot be read was dropped: %r", error)
            return {"type": UNREADABLE}
        return found if isinstance(found, dict) else {"type": UNREADABLE}

    async def delete_channel(self, channel: str) -> None:
        """Let go of a channel that `new_channel` made, and of its groups."""
        layer = self._get_layer()
        layer.channels.pop(channel, None)
        for name, members in list(layer.groups.items()):
            members.discard(channel)
            if not members:
                del layer.groups[name]
                await layer._get_shard(name).unsubscribe(name)  # noqa: SLF001
        await layer._get_shard(channel).unsubscribe(channel)  # noqa: SLF001
