"""Which comment belongs to what.

Enters: the comments of a text, in order, and the places of statements and parameters as they are built. Leaves:
`Comments` for each of them. No comment is lost: one that stands where the tree has no place for it moves to the next
statement, or above the statement whose brackets it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attnc.source import Source
from attnc.syntax.layout import Comment, is_blank_above
from attnc.syntax.tree import Comments, Param


class CommentReader:
    """Hands out each comment once, from the top of the text down."""

    def __init__(self, source: Source, comments: Sequence[Comment]) -> None:
        self.text = source.text
        self.waiting = list(reversed(comments))

    def of_statement(self, start: int, end: int) -> tuple[Comments, bool]:
        """The comments of the statement at `[start, end)`, and whether a blank line stands above it all."""
        above, is_blank = self.above(start)
        return Comments(above + self.lines_before(end), self.beside(end)), is_blank

    def above(self, start: int) -> tuple[tuple[str, ...], bool]:
        """The comment lines above what starts there, and whether a blank line stands above it all."""
        comments = self.before(start)
        is_blank = is_blank_above(self.text, start)
        lines = _with_blanks(comments)
        if not comments:
            return (), is_blank
        return (*lines, "") if is_blank else lines, comments[0].blank_above

    def of_params(self, params: tuple[Param, ...], start: int, end: int) -> tuple[Param, ...]:
        """The parameters of the head at `[start, end)`, with the comments that stand among them."""
        if not params:
            return params
        inside = [c for c in reversed(self.waiting) if start < c.start < end]
        self.waiting = [c for c in self.waiting if not start < c.start < end]
        above: list[list[str]] = [[] for _ in params]
        beside = [""] * len(params)
        for comment in inside:
            left = [n for n, p in enumerate(params) if p.span and p.span.end <= comment.start]
            right = [n for n, p in enumerate(params) if p.span and p.span.end > comment.start]
            if left and not beside[left[-1]] and self._is_between(params, left[-1], comment):
                beside[left[-1]] = comment.text
            else:
                above[right[0] if right else left[-1]].append(comment.text)
        found = zip(params, above, beside, strict=True)
        return tuple(replace(p, comments=Comments(tuple(up), at)) if up or at else p for p, up, at in found)

    def before(self, offset: int) -> list[Comment]:
        """All that start before an offset."""
        taken = []
        while self.waiting and self.waiting[-1].start < offset:
            taken.append(self.waiting.pop())
        return taken

    def beside(self, offset: int) -> str:
        """The comment on the line of an offset, after it."""
        if self.waiting and "\n" not in self.text[offset : self.waiting[-1].start]:
            return self.waiting.pop().text
        return ""

    def lines_before(self, offset: int) -> tuple[str, ...]:
        """All that start before an offset, with the blank lines between them."""
        return _with_blanks(self.before(offset))

    def indented_before(self, offset: int) -> tuple[str, ...]:
        """Those before an offset that go on at a block's indentation."""
        taken = []
        while self.waiting and self.waiting[-1].start < offset and self.waiting[-1].indent != 0:
            taken.append(self.waiting.pop())
        return _with_blanks(taken)

    def _is_between(self, params: tuple[Param, ...], left: int, comment: Comment) -> bool:
        """Does a comment stand on the line where a parameter ends, and before the next one?"""
        here, after = params[left].span, params[left + 1 : left + 2]
        if here is None or "\n" in self.text[here.end : comment.start]:
            return False
        return not after or after[0].span is None or comment.start < after[0].span.start


def _with_blanks(comments: list[Comment]) -> tuple[str, ...]:
    lines: list[str] = []
    for comment in comments:
        if lines and comment.blank_above:
            lines.append("")
        lines.append(comment.text)
    return tuple(lines)
