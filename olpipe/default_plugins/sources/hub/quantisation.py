"""Which quantisation a GGUF file has, by its name, and which one is taken where none was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KIND = r"(?:UD-)?(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|BF16|F16|FP16|F32|FP32|MXFP4(?:_MOE)?|NVFP4)"
_AT_END = re.compile(rf"(?:^|[-_.])({_KIND})$", re.IGNORECASE)
_ANYWHERE = re.compile(rf"(?:^|[-_./])({_KIND})(?=$|[-_./])", re.IGNORECASE)
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_SUFFIX = ".gguf"

USUAL = "Q4_K_M"
"""The quantisation that Ollama and the hub take where none was asked for."""

# Nearest to the usual one first: as many bits, then more, then fewer. Types that cannot be converted are not in it.
_ORDER = (
    *(USUAL, "Q4_K_S", "Q4_K_L", "Q4_K_XL", "UD-Q4_K_XL", "Q4_K", "Q4_1", "Q4_0"),
    *("Q5_K_M", "Q5_K_S", "Q5_K_L", "Q5_K_XL", "UD-Q5_K_XL", "Q5_K", "Q5_1", "Q5_0"),
    *("Q6_K", "Q6_K_L", "Q6_K_XL", "UD-Q6_K_XL", "Q8_0", "Q8_K_XL", "UD-Q8_K_XL", "F16", "FP16", "BF16", "F32", "FP32"),
)
_OF_PROJECTORS = ("F16", "FP16", "BF16", "F32", "FP32", "Q8_0")


def stem(path: str) -> str:
    """Return a file's name without its folder, its suffix and the number of a shard."""
    return _SHARD.sub("", path.rpartition("/")[2][: -len(_SUFFIX)])


def shards(path: str) -> int:
    """Return into how many files a model is cut, by the name of one of them; 1 where it is whole."""
    found = _SHARD.search(path[: -len(_SUFFIX)])
    return int(found[2]) if found else 1


def quantisation(path: str) -> str:
    """Return the quantisation that a file's name tells, in capitals, or else its folder's; empty where none does."""
    name = stem(path)
    found = _AT_END.search(name) or _ANYWHERE.search(name) or _ANYWHERE.search(path.rpartition("/")[0])
    return found[1].upper() if found else ""


def without_quantisation(path: str) -> str:
    """Return what is left of a file's name: what the model is called."""
    name = stem(path)
    found = _AT_END.search(name) or _ANYWHERE.search(name)
    return (name[: found.start()] + name[found.end() :] if found else name).lower()


def rank(kind: str) -> tuple[int, str]:
    """Return how far a quantisation is from the usual one, for sorting."""
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), kind


def rank_of_projector(kind: str) -> int:
    """Return how good a quantisation is for a projector, for sorting: first that in which encoders are published."""
    return _OF_PROJECTORS.index(kind) if kind in _OF_PROJECTORS else len(_OF_PROJECTORS)


def same(kind: str, wanted: str) -> bool:
    """Say whether a quantisation is the one that was asked for. Capitals do not count, nor who chose the types."""
    return wanted.upper() in (kind, kind.removeprefix("UD-"))


def listed(kinds: Sequence[str]) -> str:
    """Return quantisations for an error, in the order in which they would be taken."""
    return ", ".join(f"`{kind}`" for kind in sorted(dict.fromkeys(kinds), key=rank))
