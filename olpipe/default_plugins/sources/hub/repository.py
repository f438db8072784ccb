"""What a repository of the hub has in one of its commits. Nothing in the hub's answer is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from olpipe.default_plugins.sources.transfer.trouble import Trouble
from olpipe.store.layer_names import check_layer_name

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file of a repository.

    Attributes:
        path: Its path, with forward slashes.
        size: Its bytes; None where the hub does not say.
        sha256: The SHA-256 of its bytes, in hex; empty for a small file that Git itself keeps.
        git_id: What Git calls such a small file; empty where the hub does not say.
    """

    path: str
    size: int | None = None
    sha256: str = ""
    git_id: str = ""

    @property
    def folder(self) -> str:
        """Its folder; empty for the top."""
        return self.path.rpartition("/")[0]

    @property
    def base_name(self) -> str:
        """Its name without the folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository has in one of its commits.

    Attributes:
        id: `OWNER/NAME`, as the hub writes it.
        commit: The commit.
        files: Its files, sorted by path.
        license: What its card calls its licence; empty where it says nothing.
        license_link: Where its card says that the licence is; empty where it says nothing.
    """

    id: str
    commit: str
    files: tuple[RepositoryFile, ...]
    license: str = ""
    license_link: str = ""

    @classmethod
    def read(cls, data: bytes, asked: str) -> Self:
        """Read the hub's answer.

        Args:
            data: The answer.
            asked: The repository that was asked for.

        Raises:
            Trouble: It does not describe a repository.
        """
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        commit = value.get("sha") if isinstance(value, dict) else None
        siblings = value.get("siblings") if isinstance(value, dict) else None
        if not (isinstance(commit, str) and _COMMIT.fullmatch(commit)) or not isinstance(siblings, list):
            raise Trouble(f"what the hub says of `{asked}` is no description of a repository")
        files = sorted(_files(siblings), key=lambda file: file.path)
        card = value.get("cardData")
        return cls(asked, commit, tuple(files), *(_licence(card) if isinstance(card, dict) else ("", "")))


def _files(siblings: list[Any]) -> Iterator[RepositoryFile]:
    """Yield the files with a path that a file of a model may have."""
    for sibling in siblings:
        if not isinstance(sibling, dict):
            continue
        try:
            path = check_layer_name(str(sibling.get("rfilename") or ""))
        except ValueError:
            continue
        large = sibling.get("lfs")
        large = large if isinstance(large, dict) else {}
        size = large.get("size", sibling.get("size"))
        yield RepositoryFile(
            path,
            size if type(size) is int and size >= 0 else None,
            _matching(_SHA256, large.get("sha256")),
            "" if large else _matching(_SHA1, sibling.get("blobId")),
        )


def _matching(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _licence(card: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a card calls the licence, and where it is."""
    found, name, link = card.get("license"), card.get("license_name"), card.get("license_link")
    found = found[0] if isinstance(found, list) and found else found
    if found == "other" and isinstance(name, str) and name:
        found = name
    is_url = isinstance(link, str) and link.startswith("https://")
    return (_line(found) if isinstance(found, str) else ""), (_line(link) if is_url else "")


def _line(text: object) -> str:
    return "".join(letter for letter in str(text)[:500] if letter.isprintable())
