"""`file:PATH[#PROJECTOR]`: models that are on this machine already, as a GGUF file or as a folder.

`#PROJECTOR` names the GGUF file of the vision encoder, where the model's GGUF file has none.
"""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.errors import PullFailed
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ModelSource, ModelStore, ProgressCallback
from olpipe.model import ModelName


class FileSource(ModelSource):
    """Copies a model into the store. The original is not needed afterwards."""

    scheme = "file"

    def default_name(self, reference: str) -> ModelName:
        """Return the name of the text model's file without `.gguf`, or the folder's.

        Raises:
            PullFailed: The path is a folder of GGUF files, and it is not clear which of them is the text model.
            ModelCorrupt: A GGUF file in the folder is damaged.
        """
        from olpipe.store.file_reference import FileReference
        from olpipe.store.packages import name_from, named_after

        path = named_after(FileReference.parse(reference).model)
        return name_from(path.stem if path.suffix.lower() == ".gguf" else path.name)

    def pull(self, reference: str, name: ModelName, store: ModelStore, progress: ProgressCallback) -> None:
        """Store the files or the folder.

        Raises:
            PullFailed: There is nothing at a path, a package names files outside its folder, or files do not belong
                together.
            ModelCorrupt: A GGUF file is damaged.
        """
        from olpipe.store.file_reference import FileReference
        from olpipe.store.packages import add_package

        wanted = FileReference.parse(reference)
        if not wanted.model.exists():
            named = reference if wanted.projector is None else wanted.model
            raise PullFailed(f"`{named}` does not exist", hint="name a .gguf file or a package's folder")
        if wanted.projector is not None and not wanted.projector.is_file():
            what = "is not a file" if wanted.projector.exists() else "does not exist"
            raise PullFailed(f"`{wanted.projector}` {what}", hint="name the .gguf file of the vision encoder")
        add_package(wanted.model, name, store, progress, projector=wanted.projector)


@hookimpl
def register_model_sources() -> Iterable[ModelSource]:
    """Return the source `file:`."""
    return (FileSource(),)
