"""Names of files in archives, as records show them. Whoever made the archive has chosen them, and may mean harm."""

from __future__ import annotations

import hashlib
import os
import re

LONGEST_PART = 200
"""Most bytes of one part of a name. File systems take 255, and sinks put a suffix behind it."""

LONGEST_NAME = 1000
"""Most bytes of a whole name."""

_DRIVE = re.compile(r"[A-Za-z]:(?=/)")
_DIGEST_DIGITS = 8


def inside(name: str) -> str:
    r"""Return the path that a file gets when its archive is unpacked with care; empty where nothing is left.

    `..`, a leading `/` and the name of a drive are dropped, so the path never leads out of the archive. `\` counts as
    `/`, because it does on some systems. Where a part is longer than names of files may be, its middle is replaced by
    a digest.
    """
    name = _DRIVE.sub("", name.replace("\\", "/").replace("\0", "\N{REPLACEMENT CHARACTER}"), count=1)
    parts = [_shortened(part) for part in name.split("/") if part not in ("", ".", "..")]
    path = "/".join(parts)
    if len(os.fsencode(path)) > LONGEST_NAME:
        return f"{_digest(path)}/{parts[-1]}"
    return path


def _shortened(part: str) -> str:
    encoded = os.fsencode(part)
    if len(encoded) <= LONGEST_PART:
        return part
    suffix = os.path.splitext(part)[1]
    suffix = suffix if len(os.fsencode(suffix)) <= LONGEST_PART // 4 else ""
    kept = encoded[: LONGEST_PART // 2].decode("utf-8", "ignore")
    return f"{kept}~{_digest(part)}{suffix}"


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:_DIGEST_DIGITS]
