"""Read a model's folder in the layout of Hugging Face: JSON files beside the weights. Nothing in them is trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from olpipe.convert.gguf import shown
from olpipe.convert.mistaken import mistaken
from olpipe.convert.tensor_file import Malformed, TensorFile, open_tensors
from olpipe.errors import ModelCorrupt, ModelUnsupported

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
WEIGHTS_INDEX_NAME = f"{WEIGHTS_NAME}.index.json"
"""The name of the file that says which tensor is in which file, where the weights are in several."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""What the names of weights end in that PyTorch has pickled. To load such a file is to run what is in it."""

MAX_JSON_BYTES = 4 << 20
"""Most bytes of a JSON file."""

MAX_HEADER_BYTES = 1 << 24
"""Most bytes of the header of the weights. This is far more than the largest models need."""

_SHOWN_LETTERS = 40


def is_model_folder(folder: Path) -> bool:
    """Say whether a folder holds a model in this layout."""
    weights = (folder / WEIGHTS_NAME, folder / WEIGHTS_INDEX_NAME)
    return (folder / CONFIG_NAME).is_file() and any(path.is_file() for path in weights)


def refuse_other_weights(folder: Path) -> None:
    """Refuse a folder whose weights are pickles, or safetensors files of which nothing says what is in them.

    Raises:
        ModelUnsupported: It has such weights.
    """
    if not (folder / CONFIG_NAME).is_file():
        return
    found = sorted(path.name for path in folder.iterdir() if path.is_file())
    if any(name.endswith(".safetensors") for name in found):
        message = f"`{folder}` has weights in several files, and no `{WEIGHTS_INDEX_NAME}` that says what is where"
        raise ModelUnsupported(message, hint=f"fetch all files of the model, or call a single one `{WEIGHTS_NAME}`")
    pickle = next((name for name in found if name.lower().endswith(PICKLES)), None)
    if pickle:
        message = (
            f"`{folder}` has its weights in `{shown(pickle)}`, a pickle. It is never loaded, because it may run code"
        )
        raise ModelUnsupported(message, hint="use the same model in safetensors files, or a GGUF file")


@contextmanager
def open_weights(folder: Path) -> Iterator[TensorFile]:
    """Open a folder's weights and read their header.

    Raises:
        ModelCorrupt: The weights are damaged. This may be found only when they are read.
    """
    path = folder / WEIGHTS_NAME
    try:
        with open_tensors(path, max_header_bytes=MAX_HEADER_BYTES) as file:
            yield file
    except Malformed as error:
        what, hint = mistaken(path, but="safetensors")
        said = f"{what}, and not a safetensors file" if what else f"is not a sound safetensors file: {error}"
        raise ModelCorrupt(f"`{path}` {said}", hint=hint) from None


def read_json(path: Path, *, unique: bool = False, limit: int = MAX_JSON_BYTES) -> Any:
    """Return the value of a JSON file.

    Args:
        path: The file.
        unique: Whether to refuse an object that has a name twice. Otherwise the last one counts.
        limit: Most bytes of the file.

    Raises:
        ModelCorrupt: It is missing, damaged or far too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ModelCorrupt(f"`{path}` has more than {limit} bytes")
        return json.loads(data, object_pairs_hook=named_once if unique else None)
    except NamedTwice as error:
        raise ModelCorrupt(f"`{path}` has `{shown(error.args[0])}` twice") from None
    except OSError as error:
        raise ModelCorrupt(f"`{path}` cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        what, hint = mistaken(path, but="JSON")
        if what:
            raise ModelCorrupt(f"`{path}` {what}, and not JSON", hint=hint) from error
        raise ModelCorrupt(f"`{path}` is not JSON") from error


class NamedTwice(ValueError):
    """A JSON object has a name twice. The argument is the name."""


def named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. One that has a name twice is refused, because readers disagree about which one counts.

    Raises:
        NamedTwice: It has.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NamedTwice(name)
        found[name] = value
    return found


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A JSON file with one object. Its methods raise `ModelCorrupt` where a value is not of the kind that they return.

    Attributes:
        path: The file.
        values: What it says.
    """

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, *, optional: bool = False) -> Self:
        """Read a file. A missing file counts as an empty object if it is optional.

        Raises:
            ModelCorrupt: The file is missing, or it is not a JSON object.
        """
        if optional and not path.exists():
            return cls(path, {})
        values = read_json(path)
        if not isinstance(values, dict):
            raise ModelCorrupt(f"`{path}` is not a JSON object")
        return cls(path, values)

    def size(self, key: str, default: int | None = None, *, limit: int = 1 << 31) -> int:
        """Return a whole number from 1 to a limit."""
        value = self._value(key, default)
        if type(value) is not int or not 0 < value <= limit:
            raise self._wrong(key, value, f"a size up to {limit}")
        return value

    def positive(self, key: str, default: float) -> float:
        """Return a number above zero."""
        value = self._value(key, default)
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self._wrong(key, value, "a positive number")
        return float(value)

    def text(self, key: str, default: str = "") -> str:
        """Return a text."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return whether a value is `true`."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "`true` or `false`")
        return value

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        return default if value is None else value

    def _wrong(self, key: str, value: Any, expected: str) -> ModelCorrupt:
        """Return the error for a value of the wrong kind."""
        said = {type(None): "nothing", list: "a list", tuple: "a list", dict: "an object"}.get(type(value))
        said = said or f"`{shown(str(value)[:_SHOWN_LETTERS])}`"
        return ModelCorrupt(f"`{self.path}` says `{key}` is {said}, not {expected}")
