"""Where it was measured, and by what.

Enters: a device. Leaves: its name as its maker has it, and versions.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from attnc.version import __version__


def name_device(device: torch.device) -> str:
    """`NVIDIA H200`, or the processor and how many threads torch takes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{name_processor()}, {threads} thread{'s' * (threads != 1)}"


def name_processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine()
    )


def find_versions() -> dict[str, str]:
    """Of everything that computes."""
    versions = {"attnc": __version__, "torch": torch.__version__}
    try:
        import triton
    except ImportError:
        return versions
    return versions | {"triton": triton.__version__}
