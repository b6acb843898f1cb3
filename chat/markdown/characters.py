"""Classes of characters that several rules ask about.

The twin of static/chat/js/view/markdown/grammar/characters.js.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# CommonMark's Unicode whitespace.
SPACES: Final = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u202f\u205f\u3000"
)

# Chinese, Japanese and Korean: letters, punctuation and full-width forms, and what only
# stands behind an ideograph. Words of these are not separated by spaces.
CJK: Final = re.compile(
    "[\u1100-\u11ff\u2e80-\u2fff\u3001-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\ufe10-\ufe1f\ufe30-\ufe6f\uff00-\uffef\U00016fe0-\U00018d8f\U0001b000-\U0001b16f"
    "\U0001f200-\U0001f2ff\U00020000-\U0003fffd\U000e0100-\U000e01ef]"
)


def is_punctuation(character: str) -> bool:
    """CommonMark's Unicode punctuation: punctuation and symbols."""
    return unicodedata.category(character)[0] in "PS"


def goes_on_as_word(character: str) -> bool:
    """Whether this, beside an ASCII host or name, would be a part of it.

    So it is with `ü`; a sentence in CJK goes on without a space.
    """
    return (
        character > "\x7f"
        and unicodedata.category(character)[0] in "LNM"
        and not CJK.match(character)
    )
