"""What is wrong with the arguments of a call, in words that several rooms say.

Enters: names and plain values. Leaves: one message each. Every message names the argument, what it needs and what it
got; what a condition among sizes and numbers says stands beside it (`analyze/checks.py`).
"""

from __future__ import annotations


def missing_argument(attention: str, name: str, declared: str) -> str:
    return f"`{attention}` needs `{name}`, {declared}, and it was not given"


def unknown_argument(attention: str, name: str) -> str:
    return f"`{attention}` has no parameter `{name}`"


def wrong_type(name: str, needs: str, got: str) -> str:
    return f"`{name}` needs {needs}, got {got}"
