"""The CPU path: the same sweep as torch operations on the keys that a tile of queries sees.

Enters: a sweep. Leaves: `_forward_cpu` and `_backward_cpu`, and what they call. A tile of queries meets a slice of the
keys (or the keys of several slices), never all pairs, as many heads at once as keep its pairs in the cache.
"""

from attnc.lower.cpu.functions import lower_cpu as lower_cpu
from attnc.lower.cpu.pairs import lower_pairs as lower_pairs
