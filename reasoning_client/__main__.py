"""`python -m reasoning_client https://chat.example "What is 23 * 47?"`."""

from __future__ import annotations

import argparse
import os
import sys
from uuid import UUID

from reasoning_client.terminal import ask


def main() -> int:
    """Ask, and show the steps as they come."""
    parser = argparse.ArgumentParser(prog="reasoning_client", description=main.__doc__)
    parser.add_argument("url", help="of the site, such as https://chat.example")
    parser.add_argument("message")
    parser.add_argument("--agent", help="whom to ask, if not the site's first agent")
    parser.add_argument("--session", type=UUID, help="the chat to go on in")
    options = parser.parse_args()
    token = os.environ.get("REASONING_TOKEN")  # not an option: those are seen by all
    return ask(
        options.url,
        options.message,
        token=token,
        agent=options.agent,
        session=options.session,
        out=sys.stdout,
    )


if __name__ == "__main__":
    sys.exit(main())
