"""Random weights that are the same on every machine, and that GGUF's formats hold without rounding."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BYTES = 4
"""How many random bytes are added up for one weight. The sum is nearly normally distributed."""

_SPREAD = 37
"""The standard deviation of such a sum, brought into the range of -127 to 127."""


class Tensors(dict[str, "npt.NDArray[np.float32]"]):
    """The tensors of a model by their names. Each is random, and depends on the seed and its name only.

    The values of a matrix are whole numbers from -127 to 127, times a power of two. So `F16` and `Q8_0` hold them
    without rounding.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def matrix(self, name: str, *shape: int, strength: float = 0.9, bias: bool = False) -> None:
        """Add `<name>.weight`, and `<name>.bias` where a bias is asked for.

        Args:
            name: The name of the layer.
            *shape: The shape, rows first. All other dimensions are columns.
            strength: About how large the results are if the inputs are about one.
            bias: Whether to add a bias.
        """
        import numpy as np

        columns = int(np.prod(shape[1:]))
        step = 2.0 ** round(np.log2(strength / columns**0.5 / _SPREAD))
        self[f"{name}.weight"] = self._codes(f"{name}.weight", shape) * np.float32(step)
        if bias:
            self.bias(name, shape[0])

    def norm(self, name: str, width: int, *, bias: bool = False) -> None:
        """Add the weights of a norm, `<name>.weight`, from 0.5 to 1.5; and `<name>.bias` where it is asked for."""
        import numpy as np

        values = self._random(f"{name}.weight", width).astype(np.float32)
        self[f"{name}.weight"] = values / np.float32(256) + np.float32(0.5)
        if bias:
            self.bias(name, width)

    def bias(self, name: str, width: int) -> None:
        """Add `<name>.bias`."""
        import numpy as np

        self[f"{name}.bias"] = self._codes(f"{name}.bias", (width,)) / np.float32(256)

    def vector(self, name: str, width: int) -> None:
        """Add a vector under its own name."""
        import numpy as np

        self[name] = self._codes(name, (width,)) / np.float32(128)

    def fuse(self, name: str, parts: Sequence[str]) -> None:
        """Put layers below each other into one, `name`. The parts are taken away."""
        import numpy as np

        for kind in ("weight", "bias"):
            if f"{parts[0]}.{kind}" in self:
                self[f"{name}.{kind}"] = np.concatenate([self.pop(f"{part}.{kind}") for part in parts])

    def _codes(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return whole numbers from -127 to 127."""
        import numpy as np

        summed = self._random(name, int(np.prod(shape)) * _BYTES).reshape(-1, _BYTES).sum(axis=1, dtype=np.int32)
        centred = (summed - 255 * _BYTES // 2) // _BYTES  # from -128 to 127
        codes: npt.NDArray[np.float32] = centred.clip(-127).astype(np.float32).reshape(shape)
        return codes

    def _random(self, name: str, count: int) -> npt.NDArray[np.uint8]:
        """Return random bytes."""
        return random_bytes(self._seed, name, count)


def random_bytes(seed: int, name: str, count: int) -> npt.NDArray[np.uint8]:
    """Return bytes that depend on the seed and the name only, not on the release of numpy."""
    import numpy as np

    generator = np.random.PCG64([seed, zlib.crc32(name.encode())])
    numbers: npt.NDArray[np.uint64] = np.asarray(generator.random_raw(-(-count // 8)), "<u8")
    return numbers.view(np.uint8)[:count]
