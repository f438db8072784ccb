"""Zip and tar archives of photos, which are read without unpacking them.

A path that leads into an archive, such as `trips/may.zip/day1/cat.jpg`, stands for a file in it. No such path exists on
the disk. `olpipe.archives.opened` reads what it stands for.
"""

from __future__ import annotations

import re

SUFFIXES = (*(".zip", ".cbz", ".tar", ".cbt", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz"),)
"""How the names of archives end, in lower case."""

MOST_BYTES = 500_000_000
"""A file in an archive that has more bytes is refused. No photo has so many."""

_LEADS_INTO = re.compile("(?:" + "|".join(re.escape(suffix) for suffix in SUFFIXES) + r")[/\\]", re.IGNORECASE)


def is_archive(name: str) -> bool:
    """Say whether a file with this name is an archive that can be read."""
    return name.lower().endswith(SUFFIXES)


def may_lead_into(path: str) -> bool:
    """Say whether a path looks as if it led into an archive. It may still be the path of a folder with such a name."""
    return _LEADS_INTO.search(path) is not None
