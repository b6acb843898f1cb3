"""Talk to the agents of a Reasoning Site, and watch them work.

with Client("https://chat.example", token="…") as client:
    for step in client.ask("What is 23 * 47?"):
        print(step.type, step.content)
"""

from __future__ import annotations

from reasoning_client.asynchronous import AsyncClient, AsyncRun
from reasoning_client.errors import ClientError, Refused, RunFailed
from reasoning_client.fold import RunState, Step
from reasoning_client.synchronous import Client, Run

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "Client",
    "ClientError",
    "Refused",
    "Run",
    "RunFailed",
    "RunState",
    "Step",
]
