"""A program that ends with the process that started it, however that ends.

    python tether.py PROGRAM [ARGUMENT…]

runs the program with the same standard streams, and ends as it does. When whoever holds
the other end of standard input is gone, the program has some seconds to notice that its
input is over. One that hangs does not: then it is killed, and what it has started too.

A file to be run, which imports nothing of the site: it starts in some 20 ms.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from types import FrameType

GRACE_SECONDS = 3.0  # to end by itself


def tethered(program: str, *arguments: str) -> list[str]:
    """The command that runs the program so."""
    return [sys.executable, "-I", "-S", __file__, program, *arguments]


def main() -> None:
    """Run the program, and watch standard input without reading from it."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # what is killed in the end is the whole group
    child = os.fork()
    if child == 0:
        try:
            os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - what we are for
        finally:
            os._exit(127)

    def ended(_number: int, _frame: FrameType | None) -> None:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            # As a shell: a program that a signal has ended is 128 and the signal.
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)

    def forward(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)

    signal.signal(signal.SIGCHLD, ended)
    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    ended(0, None)  # it may have been quicker
    os.dup2(2, 1)  # its output ends when it closes it
    poll = select.poll()
    poll.register(0, 0)  # no events but that the other end is closed
    poll.poll()
    poll.unregister(0)
    poll.poll(GRACE_SECONDS * 1000)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
