"""Cases are measured in processes of their own.

Enters: cases. Leaves: measurements. `triton.jit` decides when triton is imported whether kernels are interpreted, so
the process that asks must not have to be one where they are. One line of JSON goes in for each case and one comes out.
Each process computes with one thread, so that as many run side by side as there are processors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import IO, TYPE_CHECKING, Any

from attnc.verify.cases import Case
from attnc.verify.report import Measurement, case_from_json, from_json, to_json

if TYPE_CHECKING:
    from attnc.compiler import Compilation


class Worker:
    """A process that measures cases; `with Worker() as worker:` ends it."""

    def __init__(self) -> None:
        self._process = _start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def measure(self, compilation: Compilation, case: Case) -> Measurement:
        """What `measure.measure` says there."""
        source, schedule = compilation.source, compilation.options.schedule
        chosen = {"name": compilation.attention.name, "schedule": schedule}
        request = {"source": [source.name, source.text], "options": chosen, "case": asdict(case)}
        self._pipe("stdin").write(json.dumps(request) + "\n")
        self._pipe("stdin").flush()
        answer = self._pipe("stdout").readline()
        if not answer:
            code = self._process.wait()
            self._process = _start()
            return Measurement(case, problem=f"the process ended with exit code {code}")
        return from_json(json.loads(answer))

    def _pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self._process, name)
        return pipe


def _start() -> subprocess.Popen[str]:
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "attnc.verify.worker"],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Answer every line on stdin by one on stdout. What anything prints on the way goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="triton")  # log2(0) of an empty row
    from attnc.compiler import Compilation
    from attnc.options import make_options
    from attnc.source import Source
    from attnc.verify.measure import measure

    mend_interpreter()
    known: dict[tuple[str, ...], Compilation] = {}
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        key = (*request["source"], *request["options"].values())
        if key not in known:
            known[key] = Compilation(Source(*request["source"]), make_options(**request["options"]))
        measurement = measure(known[key], case_from_json(request["case"]))
        print(json.dumps(to_json(measurement)), file=answers, flush=True)


def mend_interpreter() -> None:
    """Triton's interpreter, as far as it is wrong or slow without need."""
    _keep_truth_values()
    _patch_the_language_once()


def _patch_the_language_once() -> None:
    """A launch puts the interpreter's functions into `triton.language`; each call of a helper does it all over again.

    That takes half of the time, and changes nothing once a launch has patched all that its helpers use. Where the calls
    are other than those known here, as in another version of Triton, they stay as they are.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    known = ("_patch_lang", "fn", "rewrite", "Exception", "InterpreterError", "repr")
    if interpreter.InterpretedFunction.__call__.__code__.co_names != known:
        return
    patch, whole = interpreter._patch_lang, SimpleNamespace(__globals__={"tl": tl, "core": tl.core})

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        function = self.rewrite()
        try:
            return function(*args, **kwargs)
        except Exception as problem:
            raise interpreter.InterpreterError(repr(problem)) from problem

    interpreter._patch_lang = lambda function: patch(whole)
    interpreter.InterpretedFunction.__call__ = call


def _keep_truth_values() -> None:
    """A comparison of two scalars has the dtype of what was compared there, and keeps it when it becomes a block.

    It then meets blocks of truth values as numbers, and `&` and `~` of those are other functions. Compiled kernels know
    no such thing.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    splat = builder.create_splat

    def create_splat(self: Any, kind: Any, scalar: Any) -> Any:
        block = splat(self, kind, scalar)
        if scalar.data.dtype == bool:
            block.data, block.dtype = block.data.astype(bool), tl.int1
        return block

    builder.create_splat = create_splat


if __name__ == "__main__":
    main()
