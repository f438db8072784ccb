"""A photo on its way through the workers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from olpipe.errors import MachineError
from olpipe.image import ImageFile
from olpipe.imaging.discover import read
from olpipe.record import Failure, FailureKind

TRIES = 3
"""How often a photo is tried at which workers die or machines fail."""


@dataclass(slots=True, eq=False)
class Piece:
    """A photo, and what went wrong with it so far.

    Attributes:
        image: The photo. Its bytes are dropped: only its path travels.
        path: Where it is, from the root of the file system: workers have another working folder.
        tries: How often a worker died, or a machine failed, while it was at work.
        nodes: The machines where that happened.
    """

    image: ImageFile
    tries: int = 0
    nodes: set[str] = field(default_factory=set)
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path = Path.cwd() / self.image.ref.path
        self.image = replace(self.image, data=None)

    @property
    def name(self) -> str:
        """What records call it."""
        return self.image.ref.name

    def went_wrong(self, node: str) -> None:
        """Count an attempt that came to nothing."""
        self.tries += 1
        self.nodes.add(node)

    def killed(self) -> Failure:
        """Return the failure of a photo at which worker after worker died."""
        message = f"the worker that described it died, {TRIES} times"
        hint = "a library may crash at this photo, or the memory is too small for it"
        return Failure(self.name, self.image.sha256, FailureKind.GENERATION, message, hint)

    def look_here(self) -> Failure | None:
        """Return the failure of a photo that has gone or changed, as this machine sees it; None where it is there."""
        try:
            data = read(self.image.ref)[1]
        except OSError as error:
            message = f"the file cannot be read: {error.strerror or error}"
            return Failure(self.name, None, FailureKind.UNREADABLE, message)
        if hashlib.sha256(data).hexdigest() == self.image.sha256:
            return None
        message = "the file was changed while the batch was running"
        return Failure(self.name, None, FailureKind.UNREADABLE, message, "run the same command again")

    def unseen(self, host: str, why: str) -> MachineError:
        """Return the error for a machine that does not see the photo, where this one does."""
        hint = "put the photos where every machine of the cluster has them under the same path, as on a network drive"
        return MachineError(f"{host} does not see `{self.path}`: {why}", hint=hint)
