"""Triton kernels in NumPy: the meaning of the part of Triton in which emitted kernels are written.

Enters: the text of an emitted module. Leaves: the module, whose kernels are run by NumPy, one program after the other,
without Triton and without a GPU. What a GPU does without a word is a `KernelFault` here: an access outside of a tensor,
a place that two programs use, an int that does not fit its bits.

    dtypes.py     the element types: which of two a result has, and how each is rounded
    tile.py       a tile of numbers, and its operators
    memory.py     tensors as kernels see them, and pointers into them
    language.py   the functions of `triton.language`
    module.py     `triton.jit`, the launch of a kernel, and the module around them

The model is tinygrad's `DEV=PYTHON`, which runs its kernels in Python for the same reason: what is small enough to be
read can be believed.
"""

from attnc.evaluate.dtypes import KernelFault
from attnc.evaluate.module import load_evaluated

__all__ = ["KernelFault", "load_evaluated"]
