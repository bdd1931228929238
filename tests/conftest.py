"""What every test may use: golden files, and a cache of its own.

`golden("causal/ir.txt", text)` compares a text with a committed file below `tests/golden/`; `pytest --update-golden`
writes the file instead. Whoever updates reads the difference like any other change.

Properties are tried on the same cases in every run, so that what passed once passes again; `HYPOTHESIS_PROFILE=anew`
draws others each time, as `make fuzz` does, and `unshrunk` leaves the first case that fails as it is, for mutants. None
of them is held to a clock: machines are slow now and then.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from turns import TURN, TURNS

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("seeded", UNTIMED, derandomize=True)
settings.register_profile("anew", UNTIMED, derandomize=False)
settings.register_profile(
    "unshrunk", UNTIMED, derandomize=True, phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "seeded"))

GOLDEN = Path(__file__).parent / "golden"
Golden = Callable[[str, str], None]


# Tests that run or build emitted code: `make check` leaves them out.
EMITTED = (
    "bench/",
    "compiles/",
    "evaluate/",
    "kernels/",
    "lower/test_counted_tiles.py",
    "lower/test_lists.py",
    "run/test_emitted_module.py",
    "run/test_function.py",
    "run/test_operator",
    "run/test_wrong_calls.py",
    "test_train_chars.py",
    "test_verify.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(GOLDEN.parent).as_posix().startswith(EMITTED):
            item.add_marker("emitted")


def pytest_report_header() -> str:
    return f"turn {TURN} of {TURNS} in the longest lists of cases; TURN={TURN} repeats it"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


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
    """Tests neither read nor fill the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
