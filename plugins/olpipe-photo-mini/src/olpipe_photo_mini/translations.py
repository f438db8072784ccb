"""The names of things in other languages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from olpipe_photo_mini.weights import DATA


@cache
def translations() -> Mapping[str, Mapping[str, str]]:
    """Read the table. The keys are languages; each value maps English names to words of that language."""
    lines = (DATA / "translations.tsv").read_text(encoding="utf-8").splitlines()
    (_, *languages), *rows = (line.split("\t") for line in lines)
    return {language: {row[0]: row[column] for row in rows} for column, language in enumerate(languages, 1)}
