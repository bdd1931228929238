"""What every test may use: golden files, and a cache of its own.

`golden("causal/ir.txt", text)` compares a text with a committed file below `tests/golden/`; `pytest --update-golden`
writes the file instead. Whoever updates reads the difference like any other change.

Which cases of properties are tried is in `properties.py`. torch takes one thread in each process, as every core has a
process that runs tests; processes that tests start take one too.
"""

from __future__ import annotations

import difflib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import core
from properties import ANEW, draw_seed, load_profile
from turns import TURN, TURNS

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
load_profile()

GOLDEN = Path(__file__).parent / "golden"
Golden = Callable[[str, str], None]


# Tests that run, build or read whole emitted modules: `make check` leaves them out.
EMITTED = (
    "bench/",
    "compiles/",
    "evaluate/",
    "emit/test_guest.py",
    "emit/test_names_of_arguments.py",
    "emit/test_no_kernels.py",
    "kernels/",
    "lower/test_counted_tiles.py",
    "lower/test_frame_names.py",
    "lower/test_lists.py",
    "lower/test_loops.py",
    "lower/test_loops_are_plain.py",
    "lower/test_shares.py",
    "run/test_compiled_calls.py",
    "run/test_emitted_module.py",
    "run/test_flops.py",
    "run/test_function.py",
    "run/test_memory.py",
    "run/test_operator",
    "run/test_own.py",
    "run/test_sorted_arrays.py",
    "run/test_torch_func.py",
    "run/test_totals.py",
    "run/test_wrong_calls.py",
    "support/test_chunk_kernels.py",
    "test_long_specs.py",
    "test_train_chars.py",
    "test_verify.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(GOLDEN.parent).as_posix().startswith(EMITTED):
            item.add_marker("emitted")


def pytest_collection_finish() -> None:
    """What is imported and collected stays to the end: no garbage is looked for in it, a tenth of all work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    if ANEW and config.getoption("--hypothesis-seed") is None:
        core.global_force_seed = draw_seed()


def pytest_report_header() -> list[str]:
    seed = [f"hypothesis seed: {core.global_force_seed}"] if ANEW else []
    return [f"turn {TURN} of {TURNS} in the longest lists of cases; TURN={TURN} repeats it", *seed]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    update = request.config.getoption("--update-golden")

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"there is no tests/golden/{name}: run `make golden`, and read what it writes")
        expected = path.read_text(encoding="utf-8")
        if text != expected:
            lines = (expected.splitlines(), text.splitlines())
            changes = "\n".join(difflib.unified_diff(*lines, f"tests/golden/{name}", "now", lineterm=""))
            pytest.fail(f"{changes}\n\nif this is meant, run `make golden`")

    return compare


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the cache of whoever runs them.

    Of files in a folder `tests` hypothesis takes no constants: parsing every module that was emitted took a minute, and
    what a property was tried on would hang on the tests that ran before it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNC_CACHE", str(tmp_path_factory.mktemp("tests", numbered=False) / "cache"))
        yield
