"""How many cases of a property are tried, and which.

The cases of every run are the same, and few: what passed once passes again. `HYPOTHESIS_PROFILE=anew` draws others, and
many; the head of its report names the seed that draws them again: `HYPOTHESIS_SEED=12345 HYPOTHESIS_PROFILE=anew`.
With `unshrunk` the first case that fails is left as it is, which is enough to see that a mutant is noticed.
None is held to a clock: machines are slow now and then.
"""

from __future__ import annotations

import os
from random import SystemRandom

from hypothesis import HealthCheck, Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "seeded")
ANEW = PROFILE == "anew"
FEW = 25


def load_profile() -> None:
    anyhow = settings(deadline=None, suppress_health_check=list(HealthCheck))
    settings.register_profile("seeded", anyhow, derandomize=True, max_examples=FEW)
    settings.register_profile("anew", anyhow, derandomize=False)
    settings.register_profile(
        "unshrunk", anyhow, derandomize=True, max_examples=FEW,
        phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False,
    )  # fmt: skip
    settings.load_profile(PROFILE)


def draw_seed() -> int:
    """Of this run, and of the processes that it starts."""
    return int(os.environ.setdefault("HYPOTHESIS_SEED", str(SystemRandom().randrange(10**9))))


def tries(many: int, few: int) -> int:
    """The same for what draws its cases by itself."""
    return many if ANEW else few


def cases(many: int, few: int | None = None) -> settings:
    """Another number than usual; `few` is that of every run, where many take longer than a second or two."""
    return settings(max_examples=many if ANEW or few is None else few)
