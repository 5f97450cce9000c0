"""Which build of torch fits this machine. Standard library only.

Windows and ROCm builds live on PyTorch's own index, and so does that for the CPU; Linux with CUDA and macOS are served
by the ordinary one. Where the checksums are listed, PyTorch's index is asked beside the ordinary one: the version says
which file is meant, and its checksum that it's this one.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..protocol.sentences import Sentence

HOPPER = "9.0"
"""The compute capability of an H100 and an H200."""
_INDEX = "https://download.pytorch.org/whl/"


@dataclass(frozen=True)
class TorchBuild:
    """A build of torch: what pip is told, and how much it fetches in all, the other packages included."""

    name: str
    pip_arguments: tuple[str, ...]
    """What tells pip, and uv, where to look for it."""
    download_bytes: int
    listed: str = ""
    """The list beside this file that has its version and the checksums of its files; empty: nobody states them."""
    needs: tuple[str, ...] = ()
    """If it isn't listed, further packages of the same place without which it doesn't work."""


BUILDS = {
    "cpu": TorchBuild("cpu", ("--extra-index-url", _INDEX + "cpu"), 400_000_000, "lock_torch_cpu.txt"),
    "mps": TorchBuild("mps", (), 450_000_000, "lock_torch.txt"),
    # PyTorch's index states no checksum of it; triton-rocm is on that index alone.
    "rocm": TorchBuild("rocm", ("--index-url", _INDEX + "rocm7.2"), 4_800_000_000, needs=("triton-rocm==3.7.1",)),
    "cuda": TorchBuild("cuda", (), 2_900_000_000, "lock_torch.txt"),
    "cuda-windows": TorchBuild(
        "cuda", ("--extra-index-url", _INDEX + "cu130"), 3_200_000_000, "lock_torch_windows.txt"
    ),
}


def choose(wish: str = "auto") -> TorchBuild:
    """The build for `wish` (auto, cpu, cuda, rocm, mps); auto looks at the machine.

    Raises ValueError with the valid names.
    """
    name = _look() if wish == "auto" else wish
    if name == "cuda" and sys.platform == "win32":
        name = "cuda-windows"
    if name not in BUILDS:
        raise ValueError(Sentence("There is no torch build '{wish}'; choose auto, cpu, cuda, rocm or mps.", wish=wish))
    return BUILDS[name]


def has_hopper() -> bool:
    """True if the driver reports an NVIDIA card of Hopper's compute capability (H100, H200) in this machine."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("nvidia-smi"):
        return False
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return False
    return HOPPER in output.split()


def _look() -> str:
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else "cpu"
    if shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        return "cuda"
    if sys.platform == "linux" and Path("/dev/kfd").exists():
        return "rocm"
    return "cpu"
