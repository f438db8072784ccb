"""Check that an ONNX Runtime GenAI package names no file outside its folder and no native code.

A folder as Hugging Face lays it out needs no such check: no code in it is run, and its reader opens only files whose
names it knows beforehand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olpipe.store.layer_names import check_layer_name
from olpipe.store.manifest import MAX_BYTES

CONFIG_NAME = "genai_config.json"

_NAMES_A_FILE = re.compile(r"(?:^|_|\.)(?:file|filename|path|library|dir|directory|folder)$")


def check_package(folder: Path) -> None:
    """Check all file names in the configuration and in the graphs of a package. Another folder passes.

    Raises:
        ValueError: A name leads out of the folder, native code would be loaded, or a file is damaged.
    """
    graphs = {path for path in folder.rglob("*") if path.suffix.lower() == ".onnx" and path.is_file()}
    if (folder / CONFIG_NAME).is_file():
        config = read_config(folder)
        _check_config(config)
        graphs.update(folder / name for name in _graphs_in(config) if (folder / name).is_file())
    for path in sorted(graphs):
        for location in _external_locations(path):
            check_layer_name(location)


def read_config(folder: Path) -> dict[str, Any]:
    """Return a package's `genai_config.json`.

    Raises:
        ValueError: It is not a JSON object, it says something twice, or it is far too large.
    """
    with (folder / CONFIG_NAME).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    try:
        config = json.loads(data, object_pairs_hook=_once) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"`{CONFIG_NAME}` is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"`{CONFIG_NAME}` is not a JSON object of at most {MAX_BYTES} bytes")
    return config


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object that has each name once. Of two, the runtime may use the one that was not checked."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _graphs_in(value: object) -> Iterator[str]:
    """Yield the files that the runtime reads as graphs, whatever their names end in."""
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for entry in entries:
        yield from _graphs_in(entry)
    if isinstance(value, dict) and isinstance(name := value.get("filename"), str) and name:
        yield name


def _check_config(value: object, key: str = "") -> None:
    if isinstance(value, dict):
        for name, entry in value.items():
            _check_config(entry, name)
    elif isinstance(value, list):
        for entry in value:
            _check_config(entry, key)
    elif isinstance(value, str) and value and key == "custom_ops_library":
        raise ValueError(f"`{CONFIG_NAME}` loads native code, `{value}`")
    elif isinstance(value, str) and value and _NAMES_A_FILE.search(key):
        check_layer_name(value)


def _external_locations(path: Path) -> Iterator[str]:
    """Yield the file in which a graph keeps a tensor's values, for every tensor anywhere in it."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"`{path.name}` is not an ONNX file: {error}") from error
    yield from _locations_in(model)


def _locations_in(message: Any) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for entry in [value] if hasattr(value, "ListFields") else value:
            if field.name != "external_data":
                yield from _locations_in(entry)
            elif entry.key == "location":
                yield entry.value
