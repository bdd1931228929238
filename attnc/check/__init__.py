"""What the tree means: names, sorts and sizes; macros expanded, and every mistake of a file found at once.

Enters: a tree. Leaves: attentions of the IR, or diagnostics.
"""

from attnc.check.file import Checked, find_mistakes

__all__ = ["Checked", "find_mistakes"]
