"""What the checks of a call find in attnc, where the interpreter makes them: dtypes, and what a mistake is.

A module has the dtypes that it needs, and a `_mistake` of its own, which knows no diagnostic.
"""

import torch

from attnc.errors import AttncError, Diagnostic


def _mistake(code, message):
    """What a wrong call raises."""
    return AttncError(Diagnostic(code, message))


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTS = (torch.int32, torch.int64)
BOOLS = (torch.bool,)
