"""What can go wrong."""

from __future__ import annotations


class ClientError(Exception):
    """Something that trying again by itself did not mend."""


class Refused(ClientError):  # noqa: N818  (what the site answered)
    """The site does not take the question; `code` is as in its protocol."""

    def __init__(self, code: str, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after  # seconds


class RunFailed(ClientError):  # noqa: N818  (what the site said of it)
    """The run has ended without an answer; `code` is as in the site's protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
