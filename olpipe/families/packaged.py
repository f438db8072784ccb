"""What a package says about its vision encoder. To read it takes no heavy library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olpipe.convert.architectures import FAMILY_VERSION, VISION_CONFIG
from olpipe.errors import ModelCorrupt
from olpipe.interfaces.vision import Family, VisionConfig


@dataclass(frozen=True, slots=True)
class PackagedVision:
    """What a package says about its vision encoder.

    Attributes:
        path: The file that says it.
        family: The name of the family that has written the encoder.
        version: The version of the family by then.
        sizes: The values of the family's `VisionConfig`.
    """

    path: Path
    family: str
    version: str
    sizes: Mapping[str, Any]

    @classmethod
    def read(cls, package: Path) -> PackagedVision | None:
        """Read what a package says; None where it has no vision encoder.

        Raises:
            ModelCorrupt: It cannot be read.
        """
        import orjson

        path = package / VISION_CONFIG
        if not path.is_file():
            return None
        try:
            values = orjson.loads(path.read_bytes())
            family, version = values["family"], values.pop(FAMILY_VERSION, "")
            if not isinstance(family, str) or not isinstance(version, str):
                raise TypeError("its family has no name or no version")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelCorrupt(f"the vision encoder in `{package}` cannot be loaded: {error}") from error
        return cls(path, family, version, values)

    def config(self, family: Family) -> VisionConfig:
        """Return the sizes of the encoder.

        Raises:
            ModelCorrupt: These are not the sizes of this family.
        """
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.sizes.items()
        }
        try:
            return family.config_class(**sizes)
        except TypeError as error:
            raise ModelCorrupt(f"`{self.path}` does not fit the family `{self.family}`: {error}") from error
