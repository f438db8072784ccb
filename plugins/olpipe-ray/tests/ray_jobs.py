"""A job that leaves traces, and kills its process at some photos. Workers get it by value."""

import logging
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from olpipe.errors import ModelNotFound
from olpipe.generation import Usage
from olpipe.interfaces import Job, Session
from olpipe.record import ImageInfo, Record


@dataclass(frozen=True)
class Traced(Job):
    """Writes the name of every photo into `folder`, with the working folder of the process that works on it.

    Attributes:
        folder: Where that is written.
        kills: Photos with this in their names kill the process.
        once: They do so only the first time.
        pause_s: How long a photo takes.
        meets: So many workers have opened the job before any has worked on a photo.
        warns: What the session warns of at each photo.
        lacks: The job cannot be opened where this is the working folder.
    """

    folder: Path
    kills: str = "\0"
    once: bool = False
    pause_s: float = 0.0
    meets: int = 1
    warns: str = ""
    lacks: str = ""

    @contextmanager
    def open(self):
        (self.folder / f"open-{os.getpid()}").touch()
        if os.getcwd() == self.lacks:
            raise ModelNotFound("model `x` is not on this machine")
        yield TracedSession(self)

    def note(self, *words):
        with (self.folder / "trace").open("a") as file:
            file.write(" ".join(words) + "\n")

    def noted(self):
        path = self.folder / "trace"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


class TracedSession(Session):
    slots = 1

    def __init__(self, job):
        self.job = job

    def work(self, image):
        job, name = self.job, image.ref.name
        while len(list(job.folder.glob("open-*"))) < job.meets:
            time.sleep(0.01)
        time.sleep(job.pause_s)
        if job.kills in name and not (job.once and (job.folder / "killed").exists()):
            (job.folder / "killed").touch()
            os._exit(9)
        job.note(name, os.getcwd())
        if job.warns:
            logging.getLogger("olpipe.somewhere").warning("%s", job.warns)
        info = ImageInfo(1, 1, 1, "JPEG")
        values = {"length": len(image.data)}
        return Record(name, image.sha256, info, values, "m:latest", "sha256:0", "r", Usage(), truncated=False)
