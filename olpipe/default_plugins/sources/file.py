"""`file:PATH`: models that are on this machine already, as a GGUF file or as a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from olpipe.errors import PullFailed
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, ModelStore, ProgressCallback
from olpipe.model import ModelName


class FileSource(ModelSource):
    """Copies a model into the store. The original is not needed afterwards."""

    scheme = "file"

    def default_name(self, reference: str) -> ModelName:
        """Return the file's name without `.gguf`, or the folder's."""
        from olpipe.store.packages import name_from

        path = _path(reference)
        return name_from(path.stem if path.suffix.lower() == ".gguf" else path.name)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Store the file or the folder.

        Raises:
            PullFailed: There is nothing at the path, or a package that names files outside its folder.
            ModelCorrupt: The GGUF file is damaged.
        """
        from olpipe.store.packages import add_package

        path = _path(reference)
        if not path.exists():
            raise PullFailed(f"`{reference}` does not exist", hint="name a .gguf file or a package's folder")
        add_package(path, name, store, progress)


def _path(reference: str) -> Path:
    return Path(reference).expanduser().absolute()


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source `file:`."""
    return (FileSource(),)
