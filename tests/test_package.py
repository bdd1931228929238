"""What is installed is whole: a wheel is built and used from a place where the checkout is out of sight."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import attnc

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from hatchling.build import build_sdist, build_wheel; print({}(sys.argv[1]))"


def build(what: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-c", BUILD.format(what), str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return target / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    return target


def run(installed: Path, *arguments: str) -> str:
    """The output of Python with the installed package in front of everything else."""
    env = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=installed, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == attnc.__version__


def test_every_pin_fits_what_the_project_asks_for() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    asked = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]
    for requirement in asked:
        if requirement.name != "triton":  # the Makefile says why
            assert requirement.specifier.contains(pins[requirement.name]), requirement


@pytest.mark.slow
def test_the_wheel_holds_what_is_read_at_run_time(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, home in {"grammars": "_grammars", "docs/errors": "_errors"}.items():
        for file in (ROOT / folder).iterdir():
            assert f"attnc/{home}/{file.name}" in names
    for file in (ROOT / "attnc").rglob("*"):
        if file.suffix in (".py", ".attn") and "__pycache__" not in file.parts:
            assert str(file.relative_to(ROOT)) in names
    assert not [name for name in names if not name.startswith(("attnc/", "attnc-"))]


@pytest.mark.slow
def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(build("build_sdist", ROOT, tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    again = build("build_wheel", source, tmp_path)
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_an_installed_attnc_works_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    where = run(installed, "-c", "import attnc; print(attnc.__file__)").strip()
    assert Path(where) == installed / "attnc/__init__.py"
    spec = tmp_path / "t5.attn"
    spec.write_text("from std import t5_bucket\n\nattention t5(bias: float[H, 32]):\n"
                    "    score dot(q, k) + bias[h, t5_bucket(j - i, 32, 128, true)]\n")  # fmt: skip
    assert run(installed, "-m", "attnc", "check", str(spec)).strip() == f"{spec}: ok, t5"
    assert run(installed, "-m", "attnc", "explain", "unknown-name").startswith("# `unknown-name`")
    run(installed, "-m", "attnc", "new", str(tmp_path / "fresh"))
    assert (tmp_path / "fresh.attn").exists()


@pytest.mark.slow
def test_the_command_is_installed(installed: Path) -> None:
    out = subprocess.run(
        [installed / "bin/attnc", "--version"],
        env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert out == f"attnc {attnc.__version__}\n"
