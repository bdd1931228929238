"""`attnc plot`, and the sizes that `attnc explain` takes: what a person types and what they see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attnc.cli import main

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SLIDING, DOCUMENTS = str(EXAMPLES / "sliding_window.attn"), str(EXAMPLES / "packed_documents.attn")
LENGTHS = """
attention padded(length: int[B], on: bool[N], x: float[1]):
    mask j < length[b] and on[i] and x[0] < 2.5
"""

Shell = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty directory of its own, at a terminal of 60 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    return tmp_path


def run(capsys: Shell, *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


# ---- explain ---------------------------------------------------------------------------------------


def test_explain_at_sizes(capsys: Shell) -> None:
    at = ("--at", "N=1024", "--at", " M = 2048", "--at", "window=100", "--tile", "64x32")
    code, out, err = run(capsys, "explain", SLIDING, *at)
    assert (code, err) == (0, "")
    assert "(N = 1024, M = 2048, tiles of 64 x 32, window = 100)" in out
    cost = json.loads(run(capsys, "explain", SLIDING, *at, "--json")[1])["cost"]
    assert cost["at"] == {"N": 1024, "M": 2048, "window": 100}
    assert (cost["tile"], cost["total"]) == ([64, 32], 16 * 64)
    assert cost["density"] == [(1024 * 100 - 99 * 50) / (1024 * 2048)] * 2


def test_explain_for_a_head(capsys: Shell) -> None:
    Path("heads.attn").write_text("attention heads():\n    mask h < 1 or i == j\n")
    works = [
        json.loads(run(capsys, "explain", "heads.attn", "--json", "--head", h)[1])["cost"]["work"]
        for h in "01"
    ]
    assert works == [1.0, 1 / 64]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--at", "windw=3"],
            "error[unknown-argument]: `sliding_window` has no parameter `windw`\n= note: its parameters: `window`\n"
            "= note: the sizes: `N`, `M`, `B`, `H`, `HKV`, `D`, `DV`\n= help: did you mean `window`?\n",
        ),
        (["--at", "window=3.5"], "error[wrong-type]: `window` needs an int, got `3.5`\n"),
        (["--at", "N=0"], "error[wrong-size]: `N` needs 1 or more, got 0\n"),
        (["--at", "H=4", "--head", "4"], "error[wrong-value]: `h` needs 0 to 3, got 4\n"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "plot"])
def test_values_that_do_not_fit(capsys: Shell, command: str, arguments: list[str], text: str) -> None:
    assert run(capsys, command, SLIDING, *arguments) == (1, "", text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--at", "N"], "Invalid value for '--at': `N` is not of the form NAME=VALUE"),
        (["--at", "=3"], "Invalid value for '--at': `=3` is not of the form NAME=VALUE"),
        (["--at", "N=1", "--at", "N=2"], "`N` is given twice"),
        (["--tile", "0"], "Invalid value for '--tile': `0` is no size of a tile, such as 128 or 128x64"),
        (["--tile", "16x"], "Invalid value for '--tile': `16x` is no size of a tile, such as 128 or 128x64"),
        (["--head", "-1"], "Invalid value for '--head': -1 is not in the range x>=0."),
    ],
)
@pytest.mark.parametrize("command", ["explain", "plot"])
def test_a_line_that_makes_no_sense(capsys: Shell, command: str, arguments: list[str], text: str) -> None:
    code, out, err = run(capsys, command, SLIDING, *arguments)
    assert (code, out) == (2, "")
    assert err.endswith(f"\n\nError: {text}\n")


def test_explain_takes_no_array(capsys: Shell) -> None:
    assert run(capsys, "explain", DOCUMENTS, "--at", "doc=3") == (
        1,
        "",
        "error[wrong-type]: `doc` is an array, an int[B, N], and no number\n"
        "= help: `attnc plot` takes it as `--array doc=FILE.npy`\n"
        "= help: in Python: `f.tiles(..., doc=...)`\n",
    )


# ---- plot ------------------------------------------------------------------------------------------


def test_plot_in_the_terminal(capsys: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("plot", SLIDING, "--at", "window=8", "--at", "N=16", "--tile", "4")
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    assert (
        out
        == """\
sliding_window
N = M = 16, tiles of 4 x 4, window = 8

9 of 16 tiles, 3 full; query i down, key j across
▓▒░░············
▓▓▓▒············
████▓▒░░········
████▓▓▓▒········
░▒▓▓████▓▒░░····
░░░▒████▓▓▓▒····
····░▒▓▓████▓▒░░
····░░░▒████▓▓▓▒

█ full tile  ▓ edge tile, visible  ▒ visible in part
░ edge tile, hidden  · skipped tile
"""
    )
    for columns in (30, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = run(capsys, *arguments[:4])[1].splitlines()
        assert columns / 4 < max(len(line) for line in lines if line and set(line) <= set("█▓▒░·")) <= columns


@pytest.mark.parametrize(("encoding", "alphabet"), [("ascii", "#%+-."), ("utf-8", "█▓▒░·")])
def test_plot_in_a_pipe(encoding: str, alphabet: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "attnc", "plot", SLIDING, "--at", "window=40"]
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=True)
    assert set(alphabet) <= set(done.stdout.decode(encoding))


@pytest.mark.parametrize("name", ["mask.png", "mask.svg", "mask.pdf"])
def test_plot_into_a_file(capsys: Shell, here: Path, name: str) -> None:
    arguments = ("--head", "0", "--head", "3", "-o", name)
    assert run(capsys, "plot", DOCUMENTS, "--at", "N=64", *arguments) == (0, "", "")
    assert (here / name).stat().st_size > 1000
    assert [path.name for path in here.iterdir()] == [name]


def test_arrays_come_from_files_and_from_the_line(capsys: Shell) -> None:
    Path("padded.attn").write_text(LENGTHS)
    np.save("on.npy", np.array([True, True, False, True]))
    np.save("length.npy", np.array([1, 3], dtype=np.uint8))
    files = ("--array", "on=on.npy", "--array", "length=length.npy", "--array", "x=2")
    line = ("--array", "on=true,true,false,true", "--array", "length=1, 3", "--array", "x=2.0")
    for arrays in (files, line):
        code, out, err = run(capsys, "plot", "padded.attn", *arrays, "--batch", "1", "--tile", "1")
        assert (code, err) == (0, "")
        assert out.split("\n\n")[1].splitlines()[1:] == ["███·", "▒▒▒·"]


def test_a_file_that_holds_a_documents_array(capsys: Shell) -> None:
    np.save("doc.npy", np.array([[0, 0, 0, 1, 1, 1, 1, 1]], dtype=">i4"))
    code, out, _ = run(capsys, "plot", DOCUMENTS, "--array", "doc=doc.npy", "--tile", "2")
    assert code == 0
    assert out.startswith("packed_documents\nN = M = 8, tiles of 2 x 2\n")
    assert "made-up" not in out
    assert "doc: made-up documents" in " ".join(run(capsys, "plot", DOCUMENTS)[1].split())


@pytest.mark.parametrize(
    ("array", "text"),
    [
        ("doc=nowhere.npy", "error[system-error]: `nowhere.npy`: no such file or directory\n"),
        ("doc=text.npy", "error[unreadable-file]: `text.npy` holds no array of numbers as .npy files do\n"),
        (
            "doc=objects.npy",
            "error[unreadable-file]: `objects.npy` holds no array of numbers as .npy files do\n",
        ),
        (
            "doc=complex.npy",
            "error[wrong-type]: `complex.npy` holds entries of type complex128\n"
            "= help: save ints, bools or floats of up to 64 bits\n",
        ),
        ("doc=half.npy", "error[wrong-dtype]: `doc` needs dtype int32 or int64, got float64\n"),
        ("doc=1,2", "error[wrong-rank]: `doc` needs 2 dimensions [B, N], got shape [2]\n"),
        ("doc=1,x", "error[wrong-type]: `doc` needs an int, got `x`\n"),
        ("docs=1,2", "error[unknown-argument]: `packed_documents` has no parameter `docs`\n"),
    ],
)
def test_arrays_that_cannot_be(capsys: Shell, array: str, text: str) -> None:
    Path("text.npy").write_text("1, 2, 3\n")
    np.save("objects.npy", np.array([{}], dtype=object))
    np.save("complex.npy", np.array([1j]))
    np.save("half.npy", np.zeros((1, 4), np.float16))
    code, out, err = run(capsys, "plot", DOCUMENTS, "--array", array)
    assert (code, out) == (1, "")
    assert err.startswith(text)


def test_a_number_is_no_array(capsys: Shell) -> None:
    assert run(capsys, "plot", SLIDING, "--array", "window=64") == (
        1,
        "",
        "error[wrong-type]: `window` is no array\n= help: give it as `--at window=64`\n",
    )


def test_a_picture_that_cannot_be_written(capsys: Shell) -> None:
    assert run(capsys, "plot", SLIDING, "-o", "mask.gif") == (
        1,
        "",
        "error[bad-option]: a plot cannot be written to `mask.gif`\n"
        "= help: give a name that ends in .png, .svg or .pdf\n",
    )
    code, _, err = run(capsys, "plot", SLIDING, "-o", "nowhere/mask.svg")
    assert (code, err) == (1, "error[system-error]: `nowhere/mask.svg`: no such file or directory\n")


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["explain", SLIDING, "--at", "N=64", "--at", "window=8"], ("torch", "sympy", "matplotlib")),
        (["plot", SLIDING], ("triton", "sympy", "matplotlib")),
    ],
)
def test_nothing_heavy_is_loaded_without_need(arguments: list[str], absent: tuple[str, ...]) -> None:
    code = f"from attnc.cli import main; import sys; main({arguments})\n"
    code += f"print('loaded:', *[name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
