"""Read a list of file names, as `find`, `ls` and other programs write it."""

from __future__ import annotations

import os


def names_in(data: bytes) -> list[str]:
    r"""Return the names in a list, in their order.

    A list with a NUL byte in it has one after each name, as `find -print0` writes it, and a name may hold anything
    else. Any other list has a name on each line: a line ends with `\n` or `\r\n`, and empty lines do not count.

    Args:
        data: The list, in the encoding of file names. A byte order mark at its beginning does not count.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    parts = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return [os.fsdecode(part) for part in parts if part]
