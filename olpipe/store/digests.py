"""Digests as texts, `sha256:<64 hex digits>`, and bytes hashed while they are copied."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from olpipe.errors import DigestMismatch

CHUNK_BYTES = 1 << 20

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


def hex_of(digest: str) -> str:
    """Return the 64 lower-case hex digits of a digest. They can safely be part of a path.

    Raises:
        ValueError: It is not a sha256 digest.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError(f"`{digest:.80}` is not a digest: a digest is `sha256:` and 64 hex digits")
    return match[1].lower()


def normalised(digest: str) -> str:
    """Return a digest in the spelling in which digests are compared: `sha256:` and lower-case digits."""
    return f"sha256:{hex_of(digest)}"


def of_bytes(data: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def of_file(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def copy(source: BinaryIO, target: BinaryIO, report: Callable[[int], None]) -> str:
    """Copy a stream to its end and return the digest of what was copied.

    Args:
        source: Read in pieces of one MiB.
        target: Written, neither flushed nor closed.
        report: Called with the number of bytes so far, after each piece.
    """
    hashed = hashlib.sha256()
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        hashed.update(chunk)
        target.write(chunk)
        done += len(chunk)
        report(done)
    return f"sha256:{hashed.hexdigest()}"


def read(file: BinaryIO, report: Callable[[int], None]) -> tuple[str, int]:
    """Return the digest and the size of what is left to read in a file.

    Args:
        file: The file.
        report: Called with the number of bytes so far, after each MiB.
    """
    hashed = hashlib.sha256()
    done = 0
    while chunk := file.read(CHUNK_BYTES):
        hashed.update(chunk)
        done += len(chunk)
        report(done)
    return f"sha256:{hashed.hexdigest()}", done


def read_durably(path: Path, report: Callable[[int], None]) -> tuple[str, int]:
    """Return the digest and the size of a file, once its bytes are safe on the disk. The rest is as with `read`."""
    with path.open("rb+") as file:
        found = read(file, report)
        os.fsync(file.fileno())  # otherwise a power cut could leave an empty file under the final name
    return found


def check(found: str, expected: str | None, what: str) -> None:
    """Compare a digest with the one that was pinned, if any.

    Raises:
        DigestMismatch: They differ.
    """
    if expected is not None and found != normalised(expected):
        raise DigestMismatch(
            f"`{what}` has the digest {found}, not {normalised(expected)}",
            hint="it was damaged on the way or is another version: nothing of it was kept, so pull again",
        )
