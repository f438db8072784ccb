"""Read a model out of blobs that lie in the store under no name yet, as if they were files in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from olpipe.errors import ModelCorrupt, ModelUnsupported, OlpipeError, PullFailed, UsageError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import Layer, ModelConfig, ModelName
from olpipe.store.layer_names import check_layer_name, check_together
from olpipe.store.library import Library
from olpipe.store.package_store import PackageStore
from olpipe.store.packages import add_package
from olpipe.store.writing import new_folder, writing

NOT_RELATIVE = "file path must be relative"
"""What Ollama says of a file name that could lead out of the model's folder."""

_GGUF = b"GGUF"


def read_blobs(files: Mapping[str, str], name: ModelName, library: Library) -> tuple[ModelConfig, list[Layer]]:
    """Describe the model that some blobs are, and return its layers. No file is copied.

    Args:
        files: The digests of the blobs, by the names of the files.
        name: What the model is to be called.
        library: Where the blobs are.

    Raises:
        UsageError: They are no model, or they are damaged.
    """
    known = _Known()
    with writing(library.incoming):
        library.incoming.mkdir(parents=True, exist_ok=True)
        folder = new_folder(library.incoming, "create-")
    try:
        with telling_no_folder(folder):
            for file_name, digest in _named(files, library).items():
                path = folder.joinpath(*file_name.split("/"))
                path.parent.mkdir(parents=True, exist_ok=True)
                _place(library.blob_path(digest), path)
                known.digests[path.resolve()] = digest
            add_package(folder, name, known, lambda progress: None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return known.config, list(known.layers)


def check_file_name(name: str) -> None:
    """Check that a file of a new model stays in the model's folder.

    Raises:
        UsageError: It could lead out of the folder.
    """
    try:
        check_layer_name(name)
    except ValueError as error:
        raise UsageError(NOT_RELATIVE, hint=f"{error}; write a path like `onnx/model.onnx`") from error


def is_gguf(path: Path) -> bool:
    """Say whether a file begins as GGUF files do, whatever it is called."""
    with path.open("rb") as file:
        return file.read(len(_GGUF)) == _GGUF


@contextmanager
def telling_no_folder(folder: Path) -> Iterator[None]:
    """Turn what is wrong with the files in a folder into a mistake of who sent them, and do not tell the folder.

    Raises:
        UsageError: The files are no model, or no backend can run it.
    """
    try:
        yield
    except (ModelCorrupt, ModelUnsupported, PullFailed) as error:
        raise _without(error, folder) from error


def _without(error: OlpipeError, folder: Path) -> UsageError:
    """Return an error as one that does not say in which folder the files are."""
    message = error.message
    for path in {str(folder), str(folder.resolve())}:
        message = message.replace(f"`{path}`", "the model").replace(f"{path}{os.sep}", "").replace(path, "the model")
    hint = None if error.hint is None or str(folder) in error.hint or "olpipe pull" in error.hint else error.hint
    return UsageError(message, hint=hint)


def _named(files: Mapping[str, str], library: Library) -> dict[str, str]:
    """Return the files by the names under which they are looked for: GGUF files lie right in the folder.

    Raises:
        ModelCorrupt: Two GGUF files have the same name.
    """
    named: dict[str, str] = {}
    for name, digest in files.items():
        if is_gguf(library.blob_path(digest)):
            name = PurePosixPath(name).name
            name = name if name.lower().endswith(".gguf") else f"{name}.gguf"
        if name in named:
            raise ModelCorrupt(f"two files are called `{name}`")
        named[name] = digest
    try:
        check_together(named)
    except ValueError as error:
        raise ModelCorrupt(f"the files cannot be used together: {error}") from error
    return named


def _place(blob: Path, path: Path) -> None:
    with suppress(OSError):  # a file system without hard links
        os.link(blob, path)
        return
    shutil.copyfile(blob, path)


class _Known(PackageStore):
    """A store whose files are all there already. It keeps what would be committed. Implements `ModelStore`."""

    def __init__(self) -> None:
        self.digests: dict[Path, str] = {}
        self.config = ModelConfig()
        self.layers: Sequence[Layer] = ()

    def has(self, digest: str) -> bool:
        return digest in self.digests.values()

    def add_file(
        self, path: Path, *, digest: str | None = None, move: bool = False, progress: ProgressCallback | None = None
    ) -> Layer:
        size = path.stat().st_size
        found = self.digests[path.resolve()]
        if progress is not None:
            progress(Progress(f"storing {path.name}", size, size, digest=found))
        return Layer(found, size)

    def commit(self, name: ModelName, config: ModelConfig, layers: Sequence[Layer]) -> None:
        self.config, self.layers = config, layers
