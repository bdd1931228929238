"""attnc: a small compiler for attention.

    f = attnc.load("sliding_window.attn")
    out = f(q, k, v, window=512)

Importing this loads neither torch nor triton nor sympy; compiling and calling do.
"""

from attnc.compiler import compile, load
from attnc.errors import AttncError, AttncWarning, CompilerBug, Diagnostic
from attnc.importer import install_importer
from attnc.version import __version__

__all__ = [
    "AttncError",
    "AttncWarning",
    "CompilerBug",
    "Diagnostic",
    "__version__",
    "compile",
    "install_importer",
    "load",
]
