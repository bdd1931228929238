"""The parser that `grammars/attn.lark` describes.

Enters: text whose lines are already known to be indented well (`layout.py`). Leaves: lark's tree, or lark's error.
Built once a process, from text alone: about 60 ms, and no cache file that two processes could disagree about.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal

from lark import Lark, Token, Tree
from lark.lark import PostLex

from attnc.data import data_folder

Branch = Tree[Token]


class Blocks(PostLex):
    """Turns the blanks after a line's end into _INDENT and _DEDENT, and drops line ends inside brackets.

    All state is in the generator, so threads may parse at once.
    """

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        open_brackets, indents = 0, [0]
        last: Token | None = None
        for token in stream:
            if token.type == "_NEWLINE":
                if open_brackets or last is None:
                    continue
                yield token
                after = token.rpartition("\n")[2]
                indent = (
                    0 if "#" in after else len(after)
                )  # a comment is swallowed only at the end of the file
                if indent > indents[-1]:
                    indents.append(indent)
                    yield Token.new_borrow_pos("_INDENT", "", token)
                while indent < indents[-1]:
                    indents.pop()
                    yield Token.new_borrow_pos("_DEDENT", "", token)
            else:
                open_brackets += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
                yield token
            last = token
        if last is not None:
            if last.type != "_NEWLINE":
                yield Token.new_borrow_pos("_NEWLINE", "", last)
            for _ in indents[1:]:
                yield Token.new_borrow_pos("_DEDENT", "", last)


@cache
def load_grammar() -> Lark:
    """The LALR parser for a whole `file` and for one `line`."""
    text = (data_folder("grammars") / "attn.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", start=["file", "line"], postlex=Blocks(), propagate_positions=True)


def parse_text(text: str, start: Literal["file", "line"]) -> Branch:
    """Lark's tree of a text; raises lark's `UnexpectedInput`."""
    return load_grammar().parse(text.rstrip(" \t\n"), start=start)
