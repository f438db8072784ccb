"""What hardware there is: the processor with its vector units, and GPUs. No library for GPUs is needed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SMI_WITHIN_S = 1.0
"""How long `nvidia-smi` may take."""

_DIRECTML_BUILD = 18362
"""Windows has DirectML from this build on (version 1903)."""

_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX",
    "asimd": "NEON",
    "asimddp": "dot products",
    "i8mm": "8-bit matrices",
    "sve": "SVE",
}
"""Flags of processors, as Linux calls them, that make models faster."""

_WINDOWS_FEATURES = {40: "avx2", 41: "avx512f"}
"""Source: https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-isprocessorfeaturepresent"""


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor.

    Attributes:
        name: What it calls itself.
        features: The vector units that it has, of those that matter here; None where that is not known.
    """

    name: str
    features: tuple[str, ...] | None

    @property
    def is_slow(self) -> bool:
        """Whether it is known to lack the vector units that models are made for."""
        return self.features is not None and not {"AVX2", "NEON"} & set(self.features)


@dataclass(frozen=True, slots=True)
class Gpus:
    """NVIDIA's GPUs.

    Attributes:
        names: The name of each.
        trouble: What is wrong with the driver; empty where nothing is known to be.
    """

    names: tuple[str, ...] = ()
    trouble: str = ""


def processor(*, root: Path = Path("/")) -> Processor:
    """Return the processor.

    Args:
        root: Where `/proc` is.
    """
    values: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip().lower(), value.strip())
    name = values.get("model name") or platform.processor() or platform.machine() or "unknown"
    flags = values.get("flags") or values.get("features")
    if flags is not None:
        present = flags.split()
    elif sys.platform == "win32" and platform.machine() == "AMD64":
        present = _windows_flags()
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        present = ["asimd", "asimddp"]  # all of Apple's own processors have them
    else:
        return Processor(name, None)
    return Processor(name, tuple(word for flag, word in _FLAGS.items() if flag in present))


def nvidia_gpus(*, root: Path = Path("/"), path: str | None = None) -> Gpus:
    """Return NVIDIA's GPUs, as the files of the driver tell of them, or else `nvidia-smi`.

    Args:
        root: Where `/proc` is.
        path: Where `nvidia-smi` is looked for; None stands for PATH.
    """
    found = [_text(file) for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))]
    names = [line.partition(":")[2].strip() for text in found for line in text.splitlines() if line.startswith("Model")]
    if names:
        return Gpus(tuple(names))
    program = shutil.which("nvidia-smi", path=path)
    if program is None:
        return Gpus()
    try:
        ended = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SMI_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Gpus(trouble="`nvidia-smi` does not answer")
    except OSError as error:
        return Gpus(trouble=f"`nvidia-smi` cannot be run: {error.strerror}")
    lines = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    if ended.returncode:
        said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        return Gpus(trouble=f"`nvidia-smi` fails: {said[0] if said else f'exit code {ended.returncode}'}")
    return Gpus(tuple(lines))


def has_directml() -> bool:
    """Say whether this is a Windows that has DirectML."""
    if sys.platform != "win32":
        return False
    return sys.getwindowsversion().build >= _DIRECTML_BUILD


def _windows_flags() -> list[str]:
    if sys.platform != "win32":
        return []
    import ctypes

    present = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return [flag for number, flag in _WINDOWS_FEATURES.items() if present(number)]


def allowed_processors() -> int:
    """Return how many processors the affinity of this process allows; 0 where that is unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
