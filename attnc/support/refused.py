"""What a wrong call raises, and a wrong call in a graph of torch.compile, which raises it when it is run.

Copied whole into every module.
"""

import torch
from torch import Tensor

from attnc.support.library import _LIBRARY, _operator


@_operator
def _refusal(message: str, is_of_type: bool, q: Tensor, width: int) -> Tensor:
    """A wrong call in a graph of torch.compile, which raises it when it is run."""
    raise (TypeError if is_of_type else ValueError)(message)


@torch.library.register_fake(_refusal, lib=_LIBRARY)
def _(message, is_of_type, q, width):
    return q.new_empty(*q.shape[:-1], width)


def _mistake(code, message):
    """What a wrong call raises; `attnc explain CODE` says more of it."""
    return (TypeError if code == "wrong-type" else ValueError)(message)


def _refused(mistake, q, v, return_lse):
    """Raise a mistake. torch.compile would say that there is one, and not which: the graph does."""
    is_traced = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
    if not is_traced or not isinstance(q, Tensor):
        raise mistake
    width = v.shape[-1] if isinstance(v, Tensor) and v.ndim else 1
    out = _refusal(str(mistake), isinstance(mistake, TypeError), q, width)
    return (out, out[..., 0]) if return_lse else out
