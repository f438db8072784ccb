"""Say what a model needs, and what of that is there."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from olpipe import machine
from olpipe.errors import ModelUnsupported
from olpipe.interfaces import Backend
from olpipe.model import MEDIA_TYPE, ModelName
from olpipe.registry import Registry
from olpipe.store.build import backend_for
from olpipe.store.findings import Finding
from olpipe.store.library import Library

RUNTIMES = {"onnx": "onnxruntime", "ort-genai": "onnxruntime_genai"}
"""The module that each backend needs, as far as that is known. Backends of plugins do not say."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file or a text of a model.

    Attributes:
        name: The file's name, or what the text is.
        size_bytes: How large it should be.
        is_here: Whether it is in the store, with that size.
    """

    name: str
    size_bytes: int
    is_here: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """What a model needs, and what of that is there.

    Attributes:
        model: Its name.
        digest: `sha256:…` of its manifest.
        capabilities: What it can do.
        parts: What it is made of.
        backend: The backend that runs it; empty where none can.
        refused: Why none can; empty where one does.
        runtime: The module that the backend needs; empty where that is not known.
        runtime_is_here: Whether that module is installed.
        available_bytes: Memory that can be taken without swapping.
        finding: What was found when it was last examined; None where it was not.
    """

    model: str
    digest: str
    capabilities: tuple[str, ...]
    parts: tuple[Part, ...]
    backend: str
    refused: str
    runtime: str
    runtime_is_here: bool
    available_bytes: int
    finding: Finding | None

    @property
    def size_bytes(self) -> int:
        """The size of all parts."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def is_well(self) -> bool:
        """Whether nothing is missing. Whether the memory is enough is known only when the model is loaded."""
        return bool(self.backend) and self.runtime_is_here and all(part.is_here for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "model": self.model,
            "digest": self.digest,
            "capabilities": list(self.capabilities),
            "parts": [{"name": part.name, "size": part.size_bytes, "here": part.is_here} for part in self.parts],
            "size": self.size_bytes,
            "backend": self.backend or None,
            "refused": self.refused or None,
            "runtime": {"module": self.runtime, "installed": self.runtime_is_here} if self.runtime else None,
            "available_memory": self.available_bytes,
            "verdict": None if self.finding is None else self.finding.verdict,
            "well": self.is_well,
        }


def condition(name: ModelName, library: Library, backends: Registry[Backend]) -> Condition:
    """Look at a model on this machine without loading it.

    Raises:
        ModelNotFound: It is not on this machine.
        StoreError: Its description is damaged.
    """
    model = library.describe(name)
    missing = library.missing(model)
    parts = tuple(
        Part(layer.name or layer.media_type.removeprefix(MEDIA_TYPE), layer.size, layer not in missing)
        for layer in model.manifest.layers
    )
    backend, refused = _backend(name, library, backends) if not missing else ("", "parts of it are missing")
    runtime = RUNTIMES.get(backend, "")
    return Condition(
        model=str(model.name),
        digest=model.digest,
        capabilities=model.config.capabilities,
        parts=parts,
        backend=backend,
        refused=refused,
        runtime=runtime,
        runtime_is_here=not runtime or importlib.util.find_spec(runtime) is not None,
        available_bytes=machine.available_bytes(),
        finding=library.findings.get(model.digest),
    )


def _backend(name: ModelName, library: Library, backends: Registry[Backend]) -> tuple[str, str]:
    """Return the backend that runs a model, or an empty text and why none does."""
    try:
        return backend_for(library.get(name), backends).name, ""
    except ModelUnsupported as error:
        return "", error.message
