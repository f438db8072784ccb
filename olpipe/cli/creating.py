"""Make a model as a Modelfile says, in this process or on a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from olpipe.asking.modelfile_parameters import read_parameters
from olpipe.client.making import copying, make
from olpipe.convert.model_folder import WEIGHTS_NAME
from olpipe.errors import InvalidName, ModelNotFound, UsageError
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.model import Layer, ModelName
from olpipe.store import digests
from olpipe.store.create import NewModel, check, precision_of
from olpipe.store.create import create as create_model
from olpipe.store.file_reference import SCHEME
from olpipe.store.gathering import Take, gather, holds_model
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.store.sources import default_name

if TYPE_CHECKING:
    from olpipe.client.server import Server
    from olpipe.plugins import Plugins
    from olpipe.store.library import Library
    from olpipe.store.modelfile_reader import Command
    from olpipe.store.modelfile_recipe import Recipe

_ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a Modelfile asks for, with the paths on this machine.

    Attributes:
        new: What the model is to be, without its base and its files.
        base: The model that it is made from, as it was written; empty where it is made from files.
        files: The paths that it is made from.
        adapter: The path of its adapter.
        quantize: How finely its weights are stored, as it was written.
    """

    new: NewModel
    base: str = ""
    files: tuple[Path, ...] = ()
    adapter: Path | None = None
    quantize: str = ""

    @classmethod
    def of(cls, name: ModelName, recipe: Recipe, folder: Path, quantize: str) -> Wanted:
        """Find what a recipe means.

        Args:
            name: What to call the model.
            recipe: What the Modelfile says.
            folder: The folder at which its paths begin.
            quantize: How finely its weights are stored.

        Raises:
            UsageError: A path leads nowhere, a parameter is wrong, or the parts cannot be used together.
        """
        new = NewModel(
            name=name,
            precision=precision_of(quantize),
            system=recipe.system,
            template=recipe.template,
            licenses=recipe.licenses,
            parameters=read_parameters(recipe.parameters),
            messages=recipe.messages,
        )
        found = [(command, _path(command, folder)) for command in recipe.bases]
        names = [command.value for command, path in found if path is None]
        files = tuple(path for _, path in found if path is not None)
        if len(names) > 1 or (names and files):
            given = ", ".join(f"`{command.value}`" for command in recipe.bases)
            hint = "keep one model, or the files of one"
            raise UsageError(f"a model is made from one other model, and not from {given}", hint=hint)
        return cls(new, "".join(names), files, _adapter(recipe.adapters, folder), quantize)


def create_here(wanted: Wanted, library: Library, plugins: Plugins, progress: ProgressCallback) -> None:
    """Make the model in this process.

    Raises:
        OlpipeError: It cannot be made.
    """

    def take(path: Path) -> Layer:
        layer = library.add_file(path, progress=lambda step: progress(replace(step, digest="")))
        progress(copying(layer.digest, layer.size, layer.size))
        return layer

    new = _with_files(wanted, take)
    check(new, library)
    if wanted.base:
        new = replace(new, base=_base(wanted.base, library, plugins, progress))
    with _advising(new):
        create_model(new, library, plugins, progress=progress)


def create_there(wanted: Wanted, server: Server, progress: ProgressCallback) -> None:
    """Have a server make the model.

    Raises:
        ServerUnreachable: It cannot be reached, or it goes away in the middle.
        OlpipeError: The model cannot be made.
    """
    paths: dict[str, Path] = {}

    def take(path: Path) -> Layer:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest, _ = digests.read(file, lambda done: progress(Progress(f"reading {path.name}", done, size)))
        layer = Layer(digest, size)
        paths[layer.digest] = path
        return layer

    new = _with_files(wanted, take)
    with _advising(new):
        make(server, new, paths, progress, base=wanted.base, quantize=wanted.quantize)


@contextmanager
def _advising(new: NewModel) -> Iterator[None]:
    """Say what to do with weights in the layout of Hugging Face that no backend runs.

    Raises:
        UsageError: No backend runs the model.
    """
    try:
        yield
    except UsageError as error:
        if WEIGHTS_NAME not in new.files or not error.message.startswith("no backend"):
            raise
        hint = "convert it to GGUF, for example with llama.cpp, and write `FROM` that file"
        raise UsageError(error.message, hint=hint) from error


def _with_files(wanted: Wanted, take: Take) -> NewModel:
    """Return what the model is to be, once all its files were taken."""
    new = wanted.new
    if wanted.files:
        new = replace(new, files=gather(wanted.files, new.name, take))
    if wanted.adapter is not None:
        new = replace(new, adapters={wanted.adapter.name: take(wanted.adapter).digest})
    return new


def _base(text: str, library: Library, plugins: Plugins, progress: ProgressCallback) -> ModelName:
    """Return the name of the model to begin with. One that is not here is pulled.

    Raises:
        ModelNotFound: Nobody has it.
    """
    try:
        library.digest(known := ModelName.parse(text))
        return known
    except (InvalidName, ModelNotFound):
        pass
    progress(Progress("pulling manifest"))
    origin, usual = find_source(text, plugins)
    name = usual or default_name(origin, plugins)
    pull(origin, name, library, plugins, progress=progress, again=False)
    return name


def _path(command: Command, folder: Path) -> Path | None:
    """Return the path that a `FROM` line names; None where it names a model.

    A folder of the same name as a model counts only if a model is in it.

    Raises:
        UsageError: It can only be a path, and nothing is there.
    """
    text = command.value.removeprefix(f"{SCHEME}:")
    path = folder / Path(text).expanduser()
    if path.is_file() or (path.is_dir() and (_is_path(text) or holds_model(path))):
        return path
    if _is_path(text) or text != command.value or text.lower().endswith((".gguf", ".safetensors", ".bin")):
        raise _nothing_there(command, path)
    return None


def _adapter(commands: Sequence[Command], folder: Path) -> Path | None:
    """Return the path of the adapter.

    Raises:
        UsageError: Nothing is there, or there are several.
    """
    if not commands:
        return None
    if len(commands) > 1:
        message = f"(line {commands[1].line}): a model takes one adapter at most"
        raise UsageError(message, hint="leave out all `ADAPTER` lines but one")
    path = folder / Path(commands[0].value).expanduser()
    if path.is_dir():
        path /= _ADAPTER
    if not path.is_file():
        raise _nothing_there(commands[0], path)
    return path


def _is_path(text: str) -> bool:
    return text in (".", "..", "~") or text.startswith(("/", "./", "../", "~", f".{os.sep}", f"..{os.sep}"))


def _nothing_there(command: Command, path: Path) -> UsageError:
    what = "is neither a file nor a folder" if path.exists() else "does not exist"
    message = f"(line {command.line}): `{path}` {what}"
    return UsageError(message, hint=f"write a path from the folder of the Modelfile behind `{command.name.upper()}`")
