"""What stands in the GGUF files of a tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.testing.gguf import write_gguf

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Content:
    """The content of one file. A test may write it with changes.

    Attributes:
        metadata: The metadata by its keys.
        tensors: The tensors by their names.
        formats: `F16` or `Q8_0`, for tensors that are not stored as `F32`.
    """

    metadata: dict[str, Any]
    tensors: dict[str, npt.NDArray[np.float32]]
    formats: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write the file, and return its path."""
        write_gguf(path, self.metadata, self.tensors, formats=self.formats)
        return path
