"""What this machine has: the system, the processor, cores, memory and GPUs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from olpipe import machine
from olpipe.checkup.hardware import Gpus, allowed_processors, processor
from olpipe.checkup.report import Section
from olpipe.sizes import size

LITTLE_BYTES = 1_500_000_000
"""With less memory than this, even a small model may not fit beside everything else."""


def check_machine(section: Section, *, gpus: Gpus, directml: bool, root: Path = Path("/")) -> None:
    """Fill a section about the machine.

    Args:
        section: The section.
        gpus: NVIDIA's GPUs that are there.
        directml: Whether the system has DirectML.
        root: Where `/proc` and `/sys` are.
    """
    section.facts["system"] = f"{platform.system()} {platform.release()} ({platform.machine()})"
    section.add("system", section.facts["system"])
    _check_processor(section, root)
    _check_cores(section, root)
    _check_memory(section, root)
    section.facts["gpus"], section.facts["directml"] = list(gpus.names), directml
    if gpus.trouble:
        section.add("GPU", gpus.trouble, "note")
    elif gpus.names:
        section.add("GPU", ", ".join(gpus.names), "ok")
    else:
        section.add("GPU", "one that DirectML uses may be there" if directml else "none of NVIDIA's was found")


def _check_processor(section: Section, root: Path) -> None:
    found = processor(root=root)
    section.facts["processor"] = found.name
    section.facts["features"] = None if found.features is None else list(found.features)
    if found.features is None:
        section.add("processor", f"{found.name}; its vector units are not known")
    elif found.is_slow:
        section.add("processor", f"{found.name}, without AVX2: models run slowly", "note")
    else:
        section.add("processor", f"{found.name}, with {', '.join(found.features)}", "ok")


def _check_cores(section: Section, root: Path) -> None:
    cores, everything = machine.cores(root=root), os.cpu_count() or 0
    allowed, quota = allowed_processors(), machine.cpu_quota(root=root)
    section.facts |= {"cores": cores or None, "processors": everything or None, "cpu_quota": quota or None}
    if not cores:
        section.add("cores", f"{everything or 'unknown'}, counted as processors")
        return
    limits = [f"the affinity of this process allows {allowed} of {everything} processors"] * (allowed < everything)
    limits += [f"its control group allows {quota:g} processors"] * bool(quota)
    section.add("cores", "; ".join([f"{cores} can be kept busy", *limits]), "ok" if cores > 1 else "note")


def _check_memory(section: Section, root: Path) -> None:
    found = machine.memory(root=root)
    section.facts |= {
        "memory": found.total,
        "available_memory": found.available,
        "memory_limit": found.limit or None,
    }
    limit = f"; a control group allows {size(found.limit)}" if found.limit else ""
    text = f"{size(found.available)} of {size(found.total)} available{limit}"
    section.add("memory", text, "note" if found.available < LITTLE_BYTES else "ok")
