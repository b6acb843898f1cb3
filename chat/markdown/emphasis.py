"""What may open and close emphasis and strikethrough.

CommonMark's rules, amended for CJK text, where a marker between a letter and
punctuation has no spaces around it (`**强调。**然后`).

The twin of static/chat/js/view/markdown/grammar/emphasis.js.
"""

from __future__ import annotations

from typing import NamedTuple

from markdown_it.rules_inline.state_inline import Scanned, StateInline as LibraryState

from chat.markdown.characters import CJK, SPACES, is_punctuation


class StateInline(LibraryState):
    """The state of reading a paragraph, with these rules."""

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803  (the library's)
        """How long a run of markers is, and what it may do."""
        marker = self.src[start]
        end = start + 1
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = _neighbour(self.src[start - 1] if start else "")
        after = _neighbour(self.src[end] if end < self.posMax else "")
        is_left = _flanks(after, before)
        is_right = _flanks(before, after)
        return Scanned(
            is_left and (canSplitWord or not is_right or before.is_punctuation),
            is_right and (canSplitWord or not is_left or after.is_punctuation),
            end - start,
        )


class _Neighbour(NamedTuple):
    """The character beside a run."""

    is_space: bool
    is_punctuation: bool
    is_cjk: bool


def _neighbour(character: str) -> _Neighbour:
    if not character:  # where the text begins or ends
        return _Neighbour(is_space=True, is_punctuation=False, is_cjk=False)
    return _Neighbour(
        is_space=character in SPACES,
        is_punctuation=is_punctuation(character),
        is_cjk=CJK.match(character) is not None,
    )


def _flanks(inner: _Neighbour, outer: _Neighbour) -> bool:
    """Whether a run belongs to the text on its inner side."""
    if inner.is_space:
        return False
    is_word = not inner.is_punctuation or inner.is_cjk
    return is_word or outer.is_space or outer.is_punctuation or outer.is_cjk
