"""Write numbers of bytes for people."""

from __future__ import annotations


def size(count: int) -> str:
    """Write a number of bytes with a decimal unit, as Ollama does: `98 MB`, `4.7 GB`.

    Source: https://github.com/ollama/ollama/blob/main/format/bytes.go
    """
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 10 and count % factor else f"{int(value)} {unit}"
    return f"{count} B"
