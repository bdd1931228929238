"""The machine of a measurement, and the versions of what ran on it.

Enters: a device. Leaves: its name as its maker has it, whether it is of an architecture, and versions.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from attnc.errors import AttncError, Diagnostic
from attnc.version import __version__


def name_device(device: torch.device) -> str:
    """`NVIDIA H200`, or the processor and how many threads torch takes; and whether others compute there too."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{name_processor()}, {threads} thread{'s' * (threads != 1)}{_load()}"


def _load() -> str:
    """The load where it is above what the processors can do: then times are those of a busy machine."""
    processors = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return f", at a load of {load:.1f} on {processors} processors" if load > processors else ""


def check_card(arch: str, device: torch.device) -> None:
    """Raise unless the GPU is one of this architecture: `sm_90`, `gfx942`."""
    if torch.version.hip:
        found = torch.cuda.get_device_properties(device).gcnArchName.partition(":")[0]
    else:
        found = "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    if found != arch:
        raise AttncError(Diagnostic("wrong-device", f"the GPU here is {found}, not {arch}"))


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
