"""What a person is told who asks for machine code that cannot be made. Nothing is compiled here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnc.cli import main
from attnc.inspect.targets import find_target

ROOT = Path(__file__).parent.parent.parent
CAUSAL = str(ROOT / "examples/causal.attn")
Shell = pytest.CaptureFixture[str]


def mistake(capsys: Shell, *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err.removeprefix("building\n")


def test_unknown_arch(capsys: Shell) -> None:
    assert mistake(capsys, CAUSAL, "--arch", "sm90") == (
        "error[unknown-arch]: no machine code is built for `sm90`\n"
        "= note: the archs are `sm_90`, `sm_100`, `sm_80`, `sm_86`, `sm_89`, `sm_120`, `gfx942`, "
        "and cards go by their names too, as `h100`\n"
        "= help: did you mean `sm_90`?\n"
    )
    for name in ("tpu", "v100", "h300", "b300", "mi250"):
        assert "did you mean" not in mistake(capsys, CAUSAL, "--arch", name)


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("h100", "sm_90"),
        ("H100", "sm_90"),
        ("NVIDIA H200", "sm_90"),
        ("a100", "sm_80"),
        ("RTX 4090", "sm_89"),
        ("geforce-rtx-5090", "sm_120"),
        ("B200", "sm_100"),
        ("MI300X", "gfx942"),
        ("sm_86", "sm_86"),
    ],
)
def test_cards_have_names(name: str, arch: str) -> None:
    assert find_target(name).name == arch


def test_tiles_for_an_unknown_arch(capsys: Shell, tmp_path: Path) -> None:
    assert main(["build", CAUSAL, "--arch", "sm_91", "-o", str(tmp_path / "causal.py")]) == 1
    assert "error[unknown-arch]: no machine code is built for `sm_91`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_width_of_heads_is_said_in_one_way(capsys: Shell) -> None:
    assert main(["inspect", CAUSAL, "--at", "D=64"]) == 2
    assert "`D` is what --head-dim says" in capsys.readouterr().err


def test_heads_that_no_kernel_takes(capsys: Shell) -> None:
    assert mistake(capsys, CAUSAL, "--head-dim", "64", "--at", "DV=512") == (
        "error[wrong-shape]: `DV` needs 256 or less in a kernel, got 512\n"
    )


@pytest.mark.parametrize(
    ("example", "numbers", "text"),
    [
        ("causal", ["H=6", "HKV=4"], "error[wrong-heads]: `q` needs a multiple of the 4 heads of `k`, got 6\n"),
        ("causal", ["window=3"], "error[unknown-argument]: `causal` has no parameter `window`\n"),
        ("bigbird", ["block=0"], "error[wrong-size]: `table` has the dimension `(N + block - 1) // block`, "
         "which divides by 0\n= help: choose other numbers, as in `--at N=8192`\n"),
        ("tree_decoding", ["context=500"], "error[wrong-size]: `ancestor` has the dimension `M - context`, "
         "which is -372\n= help: choose other numbers, as in `--at N=8192`\n"),
        ("natten_2d", ["N=100", "rows=7", "cols=7"], "error[wrong-grid]: "),
        ("natten_2d", ["N=100", "rows=7"], "error[wrong-grid]: "),
    ],
)  # fmt: skip
def test_calls_that_mean_nothing(capsys: Shell, example: str, numbers: list[str], text: str) -> None:
    options = [word for number in numbers for word in ("--at", number)]
    assert mistake(capsys, str(ROOT / f"examples/{example}.attn"), *options).startswith(text)


def test_without_triton_it_says_how_to_install_it(capsys: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    assert mistake(capsys, CAUSAL) == (
        "error[missing-package]: machine code is made by triton, which is not installed\n"
        "= help: install it: `pip install triton`\n"
    )


def test_interpreted_kernels_have_no_machine_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "attnc", "inspect", CAUSAL],
        env={
            **os.environ,
            "TRITON_INTERPRET": "1",
            "PYTHONPATH": str(ROOT),
            "ATTNC_CACHE": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.removeprefix("building\n") == (
        "error[interpreted-kernels]: the kernels of `causal` are interpreted, and have no machine code\n"
        "= note: TRITON_INTERPRET was set when triton was imported\n"
        "= help: unset TRITON_INTERPRET\n"
    )
