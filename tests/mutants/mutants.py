"""All mutants, in the order in which they are run."""

from __future__ import annotations

from analysis_mutants import ANALYSIS
from cpu_mutants import CPU
from kernel_mutants import KERNELS
from mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (*KERNELS, *CPU, *ANALYSIS)
