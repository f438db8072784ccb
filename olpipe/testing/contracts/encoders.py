"""Vision encoders for the contract of families: read, written, and looked through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.architectures import VISION_ENCODER
from olpipe.interfaces import Family, Fitted, VisionConfig, VisionTensors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from olpipe.convert.vision_file import VisionFile


@dataclass(frozen=True, slots=True)
class Encoder:
    """A vision encoder that was read and written.

    Attributes:
        config: Its sizes.
        session: A session of its graph.
    """

    config: VisionConfig
    session: Any


class Tensors:
    """The tensors of a file, but for one of them. It notes whose values are read."""

    def __init__(self, tensors: VisionTensors, *, without: str = "", added: str = "", deeper: str = "") -> None:
        """Take the tensors of a file.

        Args:
            tensors: The tensors.
            without: The name of one that is missing.
            added: The name of one that comes on top.
            deeper: The name of one that has one dimension more.
        """
        self._tensors = tensors
        self._names = (set(tensors.names()) | {added}) - {without, ""}
        self._added, self._deeper = added, deeper
        self.read: set[str] = set()

    def names(self) -> Collection[str]:
        """Return the names of all tensors."""
        return self._names

    def has(self, name: str) -> bool:
        """Say whether there is a tensor of a name."""
        return name in self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor; raises `KeyError` where there is none."""
        if name not in self._names:
            raise KeyError(name)
        if name == self._added:
            return (3,)
        shape = self._tensors.shape(name)
        return (*shape, 2) if name == self._deeper else shape

    def rows(self, name: str, order: npt.NDArray[np.intp] | None = None) -> Iterator[npt.NDArray[np.float32]]:
        """Note that a tensor is read, and yield its rows."""
        self.read.add(name)
        return self._tensors.rows(name, order)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Note that a tensor is read, and return it."""
        self.read.add(name)
        return self._tensors.vector(name)

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Note that a tensor is read, and return it."""
        self.read.add(name)
        return self._tensors.array(name)


def opened(projector: Path) -> VisionFile:
    """Return the vision encoder in a file."""
    from olpipe.convert.gguf import open_gguf
    from olpipe.convert.vision_file import open_vision

    return open_vision(open_gguf(projector))


def write(
    family: Family,
    tensors: VisionTensors,
    config: VisionConfig,
    folder: Path,
    *,
    eight_bits: bool,
    done: Callable[[], None] = lambda: None,
) -> Path:
    """Write an encoder into a new folder; returns the path of its graph."""
    folder.mkdir()
    path = folder / VISION_ENCODER
    family.write(tensors, config, path, eight_bits=eight_bits, done=done)
    return path


def written(family: Family, file: VisionFile, config: VisionConfig, folder: Path, *, eight_bits: bool) -> Encoder:
    """Write an encoder into a new folder, and open it."""
    return Encoder(config, session_of(write(family, file, config, folder, eight_bits=eight_bits)))


def session_of(path: Path) -> Any:
    """Return a session of a graph."""
    from olpipe.sessions import open_session

    return open_session(path, threads=1)


def look(
    family: Family, encoder: Encoder, pixels: npt.NDArray[np.uint8], budget: int
) -> tuple[Fitted, dict[str, npt.NDArray[np.float32]]]:
    """Return the size in which an image is shown, and the outputs of the graph for it."""
    height, width = pixels.shape[:2]
    fitted = family.fit(encoder.config, width, height, budget)
    inputs: Mapping[str, npt.NDArray[np.generic]] = family.inputs(encoder.config, pixels, fitted)
    names = [one.name for one in encoder.session.get_outputs()]
    return fitted, dict(zip(names, encoder.session.run(None, dict(inputs)), strict=True))
