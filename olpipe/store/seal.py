"""What a finished conversion consists of, so that damage to it shows.

    <cache>/builds/<64 hex digits>.seal

It lists each file of a build with its size and its digest. Builds of earlier versions of olpipe have none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from olpipe.errors import StoreError
from olpipe.store import digests, views
from olpipe.store.writing import new_file, writing

_UNFINISHED = ".unfinished"


def seal_path(build: Path) -> Path:
    """Return where the seal of a build is or would be."""
    return build.with_name(f"{build.name}.seal")


def write_seal(build: Path) -> None:
    """Write down what a build consists of now. One that cannot be written is left out."""
    files = {}
    for path in _files(build):
        files[path.relative_to(build).as_posix()] = {"size": path.stat().st_size, "digest": digests.of_file(path)}
    try:
        with writing(build.parent):
            handle, fresh = new_file(build.parent, ".new-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(files, file)
                os.replace(fresh, seal_path(build))
            finally:
                fresh.unlink(missing_ok=True)
    except StoreError:  # without a seal, only the form of a build can be checked
        seal_path(build).unlink(missing_ok=True)


def discard_build(build: Path) -> None:
    """Remove a build, with its seal and its lock."""
    views.discard(build)
    for path in (build.with_name(f"{build.name}.lock"), seal_path(build)):
        path.unlink(missing_ok=True)


def build_bytes(build: Path) -> int:
    """Return how many bytes the files of a build have."""
    return sum(path.stat().st_size for path in _files(build))


def faults_of(build: Path, report: Callable[[int], None]) -> list[str]:
    """Return what is wrong with a build, in a few words each.

    Args:
        build: The folder of the build.
        report: Called with the number of bytes of a file that were read; with 0 where a file begins.
    """
    sealed = _sealed(build)
    found = []
    for name, known in sealed.items():
        path = build.joinpath(*name.split("/"))
        report(0)
        try:
            with path.open("rb") as file:
                digest, size = digests.read(file, report)
        except FileNotFoundError:
            found.append(f"`{name}` is missing")
        except OSError as error:
            found.append(f"`{name}` cannot be read ({error.strerror})")
        else:
            if size != known["size"]:
                found.append(f"`{name}` has {size} bytes, not {known['size']}")
            elif digest != known["digest"]:
                found.append(f"`{name}` has other bytes than it was written with")
    return found or [fault for path in _files(build) if (fault := _form(path, build))]


def _sealed(build: Path) -> dict[str, Any]:
    try:
        value = json.loads(seal_path(build).read_bytes())
    except (OSError, ValueError):
        return {}
    is_seal = isinstance(value, dict) and all(
        isinstance(known, dict) and {"size", "digest"} <= known.keys() for known in value.values()
    )
    return value if is_seal else {}


def _form(path: Path, build: Path) -> str:
    """Say what is wrong with the form of a file; empty where it can be read."""
    name = path.relative_to(build).as_posix()
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".onnx":
            return _form_of_graph(path, name)
    except (ValueError, RecursionError):
        return f"`{name}` is not JSON"
    except OSError as error:
        return f"`{name}` cannot be read ({error.strerror})"
    return ""


def _form_of_graph(path: Path, name: str) -> str:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_model(path, load_external_data=False).graph
    except DecodeError:
        return f"`{name}` is not an ONNX file"
    for tensor in graph.initializer:
        where = {entry.key: entry.value for entry in tensor.external_data}
        if "location" not in where:
            continue
        data = path.parent / where["location"]
        ends = int(where.get("offset") or 0) + int(where.get("length") or 0)
        if not data.is_file() or data.stat().st_size < ends:
            return f"`{where['location']}` is missing or cut short"
    return ""


def _files(build: Path) -> list[Path]:
    """Return the files of finished packages. A process may be at work on another one."""
    if not build.is_dir():
        return []
    found = [path for path in build.rglob("*") if path.is_file()]
    return sorted(path for path in found if not any(part.endswith(_UNFINISHED) for part in path.parts))
