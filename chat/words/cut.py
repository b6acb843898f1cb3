"""The beginning of a text, in whole characters.

No letter without its accents, no emoji without what it is joined with.

The twin of static/chat/js/words/cut.js.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 32  # a "character" of more code points is cut nevertheless

_JOINER: Final = "\u200d"
# What belongs to the character before it, beside marks.
_JOINED: Final = re.compile("[\u200c\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")
_FLAG_HALF: Final = re.compile("[\U0001f1e6-\U0001f1ff]")


def cut(text: str, limit: int) -> str:
    """At most so many code points, less if the last character would be cut."""
    if len(text) <= limit:
        return text
    for end in range(limit, max(1, limit - LONGEST) - 1, -1):
        if not _is_inside(text, end):
            return text[:end]
    return text[:limit]


def _is_inside(text: str, at: int) -> bool:
    """Whether this place is within a character."""
    after = text[at]
    is_joined = _JOINED.match(after) or unicodedata.category(after)[0] == "M"
    if is_joined or text[at - 1] == _JOINER:
        return True
    return (
        _FLAG_HALF.match(after) is not None and _flag_halves_before(text, at) % 2 == 1
    )


def _flag_halves_before(text: str, at: int) -> int:
    count = 0
    while at - count > 0 and _FLAG_HALF.match(text[at - 1 - count]):
        count += 1
    return count
