"""Tiny vision models with random weights, in the files of llama.cpp and of Ollama.

Their answers are random. `tests/vision/references` has what other implementations compute with the same weights.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from olpipe.testing.vision import gemma3, idefics3, llava, ollama, qwen2_5_vl, qwen3_vl, texts
from olpipe.testing.vision.content import Content
from olpipe.testing.vision.decoders import text_model

_FAMILIES: dict[str, ModuleType] = {
    "idefics3": idefics3,
    "llava": llava,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "gemma3": gemma3,
}

FAMILIES = tuple(_FAMILIES)
"""The families that there are tiny models of."""

MONOLITHIC = ollama.NAMES
"""The families that Ollama's library has as one file."""

TEXT_MODELS = texts.NAMES
"""The tiny text models. `phi3_long` has two sets of rotary factors, as models for long contexts have."""


def write_vision_gguf(family: str, folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Write a tiny vision model as llama.cpp has it: one file for the text model, and one for the vision encoder.

    Args:
        family: One of `FAMILIES`.
        folder: Where the files go; made if it is not there.
        seed: Seed of the weights.

    Returns:
        The paths of `text.gguf` and `mmproj.gguf`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = text_content(family, seed=seed).write(folder / "text.gguf")
    return text, projector_content(family, seed=seed).write(folder / "mmproj.gguf")


def write_monolithic_gguf(family: str, path: Path, *, seed: int = 0) -> Path:
    """Write the same model as `write_vision_gguf`, as Ollama's library has it: one file, with other names.

    The weights are the same, but some are stored in 8 or 16 bits. No weight is rounded by that.

    Args:
        family: One of `MONOLITHIC`.
        path: The file; it is replaced.
        seed: Seed of the weights.

    Returns:
        `path`.
    """
    return ollama.content(family, seed).write(path)


def text_content(family: str, *, seed: int = 0) -> Content:
    """Return what `write_vision_gguf` writes into `text.gguf`, for tests that change it first."""
    module = _FAMILIES[family]
    return text_model(module.DECODER, module.WORDS, seed)


def projector_content(family: str, *, seed: int = 0) -> Content:
    """Return what `write_vision_gguf` writes into `mmproj.gguf`, for tests that change it first."""
    content: Content = _FAMILIES[family].projector(seed)
    return content


def write_text_gguf(name: str, path: Path, *, seed: int = 0) -> Path:
    """Write a tiny text model: one of `TEXT_MODELS`.

    Args:
        name: Its name.
        path: The file; it is replaced.
        seed: Seed of the weights.

    Returns:
        `path`.
    """
    return texts.content(name, seed).write(path)
