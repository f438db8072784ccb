"""Say what a file is that was taken for a model's file and is none."""

from __future__ import annotations

from pathlib import Path

DAMAGED = "the file is damaged or incomplete: fetch it again"
LFS = b"version https://git-lfs.github.com/spec/"
POINTER_HINT = "run `git lfs pull` in the repository that it comes from"

_LOOKED_AT_BYTES = 4096
_INSTRUCTIONS = (b"FROM", b"PARAMETER", b"TEMPLATE", b"SYSTEM", b"ADAPTER")
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head")


def is_pointer(path: Path) -> bool:
    """Say whether a file is a Git LFS pointer. Git leaves it where it did not fetch the file itself."""
    with path.open("rb") as file:
        return file.read(len(LFS)) == LFS


def mistaken(path: Path, *, but: str = "") -> tuple[str, str]:
    """Return what a file is, as the rest of a sentence, and what to do then.

    Args:
        path: The file.
        but: What the file should be: `safetensors` or `JSON`. One that begins like that is damaged.

    Returns:
        Both texts. The first is empty where the file may be a damaged model.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT_BYTES)
    except OSError:
        return "", DAMAGED
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(LFS):
        return "is a Git LFS pointer, which only stands for the file", POINTER_HINT
    if text.lower().startswith(_PAGES):
        return "is a web page", "download the file itself, not the page about it"
    if _is_modelfile(text):
        return "is a Modelfile, which only names a model", "use the .gguf file that it has after `FROM`"
    if start.startswith(b"PK\x03\x04"):
        return "is a zip file, or a model of PyTorch", "use a .gguf file, or a folder with a `model.safetensors`"
    if but != "safetensors" and start[4:9] == b"\0\0\0\0{":
        return "is a safetensors file", "use the folder that it lies in, with its `config.json`"
    if but != "JSON" and text.startswith((b"{", b"[")) and b"\0" not in start:
        return "is a JSON file", "use a .gguf file or a package's folder"
    return "", DAMAGED


def _is_modelfile(text: bytes) -> bool:
    """Say whether the first line that is no comment names a model: `FROM ./model.gguf`."""
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith(b"#"):
            return len(words) > 1 and words[0].upper() in _INSTRUCTIONS
    return False
