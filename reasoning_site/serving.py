"""The whole site in a program that has made agents with Qwen-Agent.

    from reasoning_site import serve

    serve(bot)  # in place of WebUI(bot).run()

Importing it listens to Qwen-Agent's classes: agents that are made afterwards write
below DATA_DIR, and one that lacks a tool is out of order without ending the program.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reasoning_site.settings")

import django
import uvicorn
from django.conf import settings
from django.core.management import CommandError, call_command

from chat.agents import registry
from chat.agents.hosted import AgentsError
from reasoning_site import env

registry.listen()


def serve(  # noqa: PLR0913 - the arguments of Qwen-Agent's WebUI, and of its `run`
    agent: Any,
    chatbot_config: Mapping[str, Any] | None = None,
    *,
    messages: Sequence[Any] | None = None,
    share: bool = False,
    server_name: str | None = None,
    server_port: int | None = None,
    concurrency_limit: int | None = None,
    enable_mention: bool = False,
    **run_options: Any,
) -> None:
    """Show this agent, or this list of agents, until the program is told to end.

    `server_name` and `server_port` are where to listen (HOST, PORT); `run_options` are
    handed to each `agent.run`. All other settings come from the environment, as ever.
    Exits with a message where something cannot be.
    """
    host = server_name or env.text("HOST", "127.0.0.1")
    port = server_port or settings.PORT
    if not env.text("ALLOWED_HOSTS"):
        settings.ALLOWED_HOSTS += names_of_this_machine(host)
    if concurrency_limit and not env.text("MAX_RUNS"):
        settings.MAX_RUNS = concurrency_limit
    for name, is_given in (("share", share), ("messages", messages)):
        if is_given:
            _say(f"serve: {name} has no counterpart on this site and is left out.")
    django.setup()
    try:
        registry.give(
            registry.Given(
                agents=agent if isinstance(agent, list) else [agent],
                config=chatbot_config or {},
                run_options=run_options,
                mentions=enable_mention,
            )
        )
        call_command("prepare", listen=f"{host}:{port}")
    except (AgentsError, CommandError) as error:
        sys.exit(str(error))
    # As in scripts/serve.sh.
    uvicorn.run(
        "reasoning_site.asgi:application",
        host=host,
        port=port,
        log_level="warning",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=2**20,
        timeout_graceful_shutdown=settings.DRAIN_SECONDS,
        server_header=False,
    )


def names_of_this_machine(host: str) -> list[str]:
    """Under which names people may come, where the site listens on this address."""
    if host not in {"0.0.0.0", "::"}:  # noqa: S104
        return [host]
    name = socket.gethostname()
    try:
        found = socket.getaddrinfo(name, None)
    except OSError:
        found = []
    return sorted({name, socket.getfqdn(), *(str(each[4][0]) for each in found)})


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
