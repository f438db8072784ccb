"""What follows `file:`: the path of a model, or those of a GGUF file and of its projector with `#` between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCHEME = "file"
SEPARATOR = "#"


@dataclass(frozen=True, slots=True)
class FileReference:
    """A reference, taken apart.

    Attributes:
        model: The GGUF file or the folder, as an absolute path.
        projector: The GGUF file of its vision encoder, as an absolute path; None where none is named.
    """

    model: Path
    projector: Path | None = None

    @classmethod
    def parse(cls, text: str) -> FileReference:
        """Read a reference. The names of files may have a `#` in them, too: what exists decides where to cut.

        A text that exists as a whole is one path. It is also one path where no part of it exists.
        """
        whole = cls(_path(text))
        if whole.model.exists():
            return whole
        places = [at for at, letter in enumerate(text) if letter == SEPARATOR and 0 < at < len(text) - 1]
        cut = [cls(_path(text[:at]), _path(text[at + 1 :])) for at in places]
        return max(cut, key=_likelihood, default=whole) if any(map(_likelihood, cut)) else whole


def _likelihood(reference: FileReference) -> int:
    """Return how likely a text was cut at the right place: best is where both files exist."""
    assert reference.projector is not None
    return 2 * reference.model.exists() + reference.projector.exists()


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()
