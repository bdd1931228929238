"""The GPUs that code is built for.

Enters: the name of a card or of its arch, as the makers of GPUs have it. Leaves: a `Target`: what a gate has to know of
such a card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from attnc.errors import AttncError, Diagnostic

Unit = Literal["tcgen05", "wgmma", "mma"]


@dataclass(frozen=True)
class Target:
    """One kind of GPU. `unit` multiplies 16-bit matrices.

    A block may have `shared_memory` bytes, and `tensor_memory` columns of the memory that tcgen05 computes in.
    """

    name: str
    backend: Literal["cuda", "hip"]
    warp_size: int
    shared_memory: int
    unit: Unit
    tensor_memory: int = 0

    @property
    def capability(self) -> tuple[int, int]:
        """What `torch.cuda.get_device_capability` says there; AMD's GPUs have no such number that matters here."""
        return divmod(int(self.name.removeprefix("sm_")), 10) if self.backend == "cuda" else (0, 0)

    def for_triton(self) -> Any:
        """The same as Triton's `GPUTarget`."""
        from triton.backends.compiler import GPUTarget

        arch = int(self.name.removeprefix("sm_")) if self.backend == "cuda" else self.name
        return GPUTarget(self.backend, arch, self.warp_size)


SM_80 = Target("sm_80", "cuda", 32, 166912, "mma")
SM_86 = Target("sm_86", "cuda", 32, 101376, "mma")
SM_89 = Target("sm_89", "cuda", 32, 101376, "mma")
SM_90 = Target("sm_90", "cuda", 32, 232448, "wgmma")
SM_100 = Target("sm_100", "cuda", 32, 232448, "tcgen05", 512)
SM_120 = Target("sm_120", "cuda", 32, 101376, "mma")
GFX942 = Target("gfx942", "hip", 64, 65536, "mma")
TARGETS = {target.name: target for target in (SM_90, SM_100, SM_80, SM_86, SM_89, SM_120, GFX942)}


# Names of cards, without the maker's.
CARDS = {
    SM_80: ("a100", "a800", "a30"),
    SM_86: ("a10", "a10g", "a40", "rtxa6000", "rtx3090"),
    SM_89: ("l4", "l40", "l40s", "rtx4090", "rtx6000ada"),
    SM_90: ("h100", "h200", "h800", "h20", "gh200"),
    SM_100: ("b100", "b200", "gb200"),
    SM_120: ("rtx5090", "rtxpro6000"),
    GFX942: ("mi300x", "mi300a", "mi325x"),
}
BY_CARD = {card: target for target, cards in CARDS.items() for card in cards}


def find_target(name: str) -> Target:
    """The target of this name, `sm_90`, or of a card, `H100`."""
    if name in TARGETS:
        return TARGETS[name]
    card = re.sub(r"nvidia|geforce|amd|instinct|[ _-]", "", name.lower())
    if card in BY_CARD:
        return BY_CARD[card]
    names = ", ".join(f"`{each}`" for each in TARGETS)
    close = get_close_matches(name.lower(), TARGETS, n=1, cutoff=0.8)
    raise AttncError(
        Diagnostic(
            "unknown-arch",
            f"no machine code is built for `{name}`",
            notes=(f"the archs are {names}, and cards go by their names too, as `h100`",),
            helps=tuple(f"did you mean `{each}`?" for each in close),
        )
    )
