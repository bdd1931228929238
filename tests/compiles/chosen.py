"""Writes docs/tiles/triton-VERSION.md: `python tests/compiles/chosen.py`.

Enters: names of GPUs, or none for all. Leaves: a page with two tables, both of plain causal softmax, made by the Triton
that is installed: the tiles that the gate chooses for each GPU, and the figures of the usual tiles, which every module
has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import triton

from attnc.inspect import choose
from attnc.inspect.candidates import WIDTHS
from attnc.inspect.choose import Choice, Trial
from attnc.inspect.figures import Figures
from attnc.inspect.remember import measure
from attnc.inspect.targets import GFX942, SM_80, SM_90, SM_100, Target
from attnc.tiles import Tile

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from compilations import example  # noqa: E402
from emitted import launches  # noqa: E402
from pages import header, row  # noqa: E402

PAGES = TESTS.parent / "docs/tiles"
GPUS = (SM_90, SM_100, SM_80, GFX942)
USUAL_WIDTHS = (64, 128, 192, 256)  # of heads that the usual tiles have rows for
PAGE = """# Tiles, by Triton {version}

Made by `{command}`, of `examples/causal.attn` in bfloat16. `../machine-code.md` says
how a choice is made. No GPU has confirmed one.

## Chosen

Of the candidates in `attnc/inspect/candidates.py`, the first whose machine code holds every limit of the gate, or the
cheapest where none does. `passed over` has those before it, and why.

{chosen}

## Usual

What a module takes where nothing was chosen for its card.

{usual}
"""


def main(names: list[str]) -> None:
    """Write the page of this Triton."""
    targets = [target for target in GPUS if target.name in names] if names else GPUS
    text = PAGE.format(
        version=triton.__version__,
        command=" ".join(["python tests/compiles/chosen.py", *names]),
        chosen="\n".join(_chosen(targets)),
        usual="\n".join(_usual(targets)),
    )
    PAGES.mkdir(exist_ok=True)
    (PAGES / f"triton-{triton.__version__}.md").write_text(text)


def _chosen(targets: Sequence[Target]) -> Iterator[str]:
    yield from header("GPU", "kernel", "D", "tile", "registers", "spilled bytes", "shared KiB", "passed over")
    for target in targets:
        for choice in choose(example("causal"), target, widths=WIDTHS).choices:
            best = choice.best
            assert best is not None
            figures = next(each for each in best.figures if each.kernel == choice.kernel)
            sizes = (figures.registers, figures.spilled, _kib(figures.shared))
            yield row(target.name, choice.kernel, choice.width, best.tile, *sizes, _passed_over(choice, best))


def _passed_over(choice: Choice, best: Trial) -> str:
    before = [f"{trial.tile}: {trial.verdict}" for trial in choice.trials if trial is not best]
    return "<br>".join(before) or "-"


def _usual(targets: Sequence[Target]) -> Iterator[str]:
    yield from header("GPU", "kernel", "D", "tile", "registers", "spilled bytes", "shared KiB")
    for target in targets:
        for width in USUAL_WIDTHS:
            yield from _usual_rows(target, width)


def _usual_rows(target: Target, width: int) -> Iterator[str]:
    for launch in launches("causal", target, width):
        if launch.tile is not None:
            kernel = measure(launch, target)
            assert isinstance(kernel, Figures)
            tile = Tile(*launch.tile, kernel.warps, launch.options["num_stages"])
            sizes = (kernel.registers, kernel.spilled, _kib(kernel.shared))
            yield row(target.name, launch.name, width, tile, *sizes)


def _kib(count: int) -> int:
    return -(-count // 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
