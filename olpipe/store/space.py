"""Check that there is enough free space on a disk before something large is written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from olpipe.errors import DiskFull
from olpipe.sizes import size

if TYPE_CHECKING:
    from olpipe.convert.gguf import TensorInfo

_BYTES_OF_WEIGHT = {"int4": 0.625, "int4-fast": 0.625, "int8": 1.25, "float32": 4.0}
"""Bytes that a weight takes in a converted package, with its part of a block's scale, by precision."""

_EIGHT_BITS = 1.125
_FINER = ("token_embd.", "output.", "v.", "mm.")
"""What the names of tensors begin with that have eight bits at least: the vocabulary and the vision encoder."""


def free_bytes(folder: Path) -> int:
    """Return how much is free on the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free


def check_space(what: str, needed: int, folder: Path) -> None:
    """Check that there is space.

    Args:
        what: What needs it, as the subject of a sentence.
        needed: How many bytes it needs.
        folder: Where it goes.

    Raises:
        DiskFull: There is not enough.
    """
    free = free_bytes(folder)
    if needed > free:
        tidy = "`olpipe store du` shows what takes space, and `olpipe store prune` removes what nobody needs"
        elsewhere = "set OLPIPE_HOME or OLLAMA_MODELS to a folder on a larger disk"
        raise DiskFull(
            f"{what} needs {size(needed)}, and `{folder}` has {size(free)} left",
            hint=f"free {size(needed - free)}: {tidy}; or {elsewhere}",
        )


def conversion_bytes(tensors: Iterable[TensorInfo], precision: str) -> int:
    """Return about how many bytes the weights of a converted package have.

    Args:
        tensors: The tensors of the model.
        precision: How finely the weights are stored.
    """
    usual = _BYTES_OF_WEIGHT.get(precision, _BYTES_OF_WEIGHT["int4"])
    finer = max(usual, _EIGHT_BITS)
    return int(sum((finer if one.name.startswith(_FINER) else usual) * math.prod(one.shape) for one in tensors))
