"""The laws that hold for every input, for `rewrite`.

Enters: nothing. Leaves: three lists of laws. In the text of a law x, y and z are terms, c and d constants, p and q
conditions. A law may drop the second read of an array; it never adds one.
"""

from attnc.ir.laws.booleans import BOOLEAN_LAWS
from attnc.ir.laws.integers import INTEGER_LAWS
from attnc.ir.laws.reals import REAL_LAWS

__all__ = ["BOOLEAN_LAWS", "INTEGER_LAWS", "REAL_LAWS"]
