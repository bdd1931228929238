"""What the first call of an emitted module costs beyond torch itself, and what it costs to compile a spec.

Enters: options. Leaves: medians of processes of their own, as a table and as JSON. In each, torch is imported and has
computed an attention before any clock runs. What is timed then: `attnc.load` of a spec that another process has loaded
before, and its first call, forward and backward, on the CPU; the import of Triton, which every module with kernels
needs; the import of such a module, and its first call; and, with empty caches, `attnc.load` and a call, and everything
from the spec to machine code of all its kernels for one GPU, which need not be there.

    python bench/first_call.py                                      # causal.attn and sliding_window.attn, sm_90
    python bench/first_call.py --spec examples/alibi.attn --rounds 3
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

import attnc
from attnc.bench.machine import find_versions, name_device

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "first_call.json"
SPECS = [ROOT / "examples" / "causal.attn", ROOT / "examples" / "sliding_window.attn"]

START = """
import json, sys, time
import torch
inputs = [torch.randn(1, 8, 256, 64, requires_grad=True) for _ in range(3)]
torch.nn.functional.scaled_dot_product_attention(*inputs).sum().backward()
found, name, spec = {}, sys.argv[1], sys.argv[2]

def since(what, start):
    found[what] = 1000 * (time.perf_counter() - start)
    return time.perf_counter()

t = time.perf_counter()
"""
MODULE = """
import triton, triton.language
t = since("import triton", t)
module = __import__(name)
t = since("import module", t)
getattr(module, name)(*inputs).sum().backward()
since("first call", t)
print(json.dumps(found))
"""
LOAD = """
import attnc
f = attnc.load(spec)
t = since("load", t)
f(*inputs).sum().backward()
since("and call", t)
print(json.dumps(found))
"""
BUILD = """
from attnc.cli import main
assert main(["inspect", spec, "--arch", sys.argv[3], "--head-dim", "128"]) == 0
since("cold build", t)
print(json.dumps(found))
"""


def measure(program: str, arguments: Sequence[str], home: Path) -> dict[str, float]:
    """Milliseconds of what a process says of itself, with caches below `home`."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(home)]),
        "ATTNC_CACHE": str(home / "attnc"),
        "TRITON_CACHE_DIR": str(home / "triton"),
    }
    command = [sys.executable, "-c", START + program, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=home)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_spec(spec: Path, arch: str, rounds: int) -> dict[str, float]:
    """Medians of one spec; the caches of a cold build are new in every round."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as home:
        module = Path(home) / f"{spec.stem}.py"
        module.write_text(attnc.load(spec).source, encoding="utf-8")
        given = [spec.stem, str(spec.resolve()), arch]
        measure(MODULE, given, Path(home))  # writes what Python keeps of a module
        measure(LOAD, given, Path(home))  # and what attnc keeps of a spec
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cold:
                known = measure(LOAD, given, Path(home))
                new = {f"cold {what}": value for what, value in measure(LOAD, given, Path(cold)).items()}
                module, build = measure(MODULE, given, Path(home)), measure(BUILD, given, Path(cold))
                found.append({**known, **module, **new, **build})
    return {what: statistics.median(each[what] for each in found) for what in found[0]}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What a first call costs, and a build.")
    parser.add_argument("--spec", type=Path, action="append")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    results = {}
    for spec in options.spec or SPECS:
        results[spec.stem] = measure_spec(spec, options.arch, options.rounds)
        print(f"{spec.stem}, medians of {options.rounds} processes, milliseconds beyond `import torch`")
        for what, value in results[spec.stem].items():
            print(f"    {what:14} {value:9.1f}")
    about = {
        "command": shlex.join(["python", "bench/first_call.py", *given]),
        "arch": options.arch,
        "rounds": options.rounds,
        "machine": name_device(torch.device("cpu")),
        "versions": find_versions(),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({**about, "milliseconds": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
