"""Every stage of every example, as committed text: reviewed like code, updated by `--update-golden`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attnc.compiler import STAGES, Compilation
from attnc.errors import AttncError
from attnc.syntax.reading import read_source
from attnc.version import __version__

EXAMPLES = sorted(Path(__file__).parent.parent.joinpath("examples").glob("*.attn"))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_stage(
    path: Path, stage: str, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent.parent)
    compilation = Compilation(read_source(path.relative_to(path.parent.parent)))
    try:
        text = compilation.show(stage)
    except AttncError as error:
        assert [d.code for d in error.diagnostics] == ["no-kernel"]
        text = str(error)
    suffix = "py" if stage == "module" and text.startswith("# Generated") else "txt"
    name = f"{path.stem}/{stage}.{suffix}"
    golden(name, text.replace(f"attnc {__version__}", "attnc VERSION").rstrip("\n") + "\n")
