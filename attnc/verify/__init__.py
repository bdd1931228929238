"""Does emitted code mean what the spec says?

Enters: a compilation, or the function of one. Leaves: a `Report`. Every case of a grid is computed twice: by emitted
code, and by the interpreter in float64 from the same rounded inputs. Output, log-sum-exp and every gradient may differ
by what rounding explains (`rounding.py` derives how much that is) and by nothing more.

    cases.py      the grid: sizes, layouts, dtypes, parameters, every two values of which meet in some case
    inputs.py     tensors and parameter values for a case, of a kind that the spec allows
    rounding.py   how far rounding may carry each result
    measure.py    one case
    worker.py     Triton's interpreter, in a process of its own
    report.py     what was measured
    check.py      all of it, in order
"""

from attnc.verify.check import BACKENDS, verify
from attnc.verify.report import Measurement, Quantity, Report

__all__ = ["BACKENDS", "Measurement", "Quantity", "Report", "verify"]
