"""Gather the files of a model that is to be made, without making it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from olpipe.errors import UsageError
from olpipe.interfaces import ProgressCallback
from olpipe.model import Layer, ModelConfig, ModelName
from olpipe.store.package_store import PackageStore
from olpipe.store.packages import add_package

Take = Callable[[Path], Layer]
"""Takes a file, and returns a layer with its digest."""

_MODEL_FILES = ("genai_config.json", "config.json")


def gather(paths: Sequence[Path], name: ModelName, take: Take) -> dict[str, str]:
    """Take the files of a model, and return their digests by the names that they get in the model's folder.

    Args:
        paths: A folder with a model, its GGUF file, or its GGUF file and that of its vision encoder in any order.
        name: What the model is to be called.
        take: Called with each file that belongs to it.

    Raises:
        UsageError: They do not make one model.
        PullFailed: They are no model, or do not belong together.
        ModelCorrupt: One of them is damaged.
    """
    model, projector = _sorted(paths)
    gathered = _Gathered(take)
    add_package(model, name, gathered, lambda step: None, projector=projector)
    return gathered.files


def holds_model(folder: Path) -> bool:
    """Say whether a folder looks as if a model were in it."""
    return any((folder / name).is_file() for name in _MODEL_FILES) or any(folder.glob("*.gguf"))


def _sorted(paths: Sequence[Path]) -> tuple[Path, Path | None]:
    """Return the text model, and its vision encoder where that is a file of its own.

    Raises:
        UsageError: The paths do not make one model.
        ModelCorrupt: A file is damaged.
    """
    from olpipe.convert.gguf import read_header
    from olpipe.store.vision import is_projector

    if len(paths) == 1:
        return paths[0], None
    named = ", ".join(f"`{path.name}`" for path in paths[:3])
    if len(paths) > 2 or any(path.is_dir() for path in paths):
        hint = "name a folder, or a GGUF file and that of its vision encoder"
        raise UsageError(f"these do not make one model: {named}", hint=hint)
    projectors = [path for path in paths if is_projector(read_header(path))]
    models = [path for path in paths if path not in projectors]
    if len(models) != 1:
        what = "text models" if models else "vision encoders"
        raise UsageError(f"both are {what}: {named}", hint="name one text model and one vision encoder")
    return models[0], projectors[0]


class _Gathered(PackageStore):
    """A store that only remembers what it is given. Implements `olpipe.interfaces.ModelStore`.

    Attributes:
        files: The digests of the files, by their names in the model's folder.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self.files: dict[str, str] = {}

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        return self._take(path)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        self.files = {layer.name: layer.digest for layer in layers}
