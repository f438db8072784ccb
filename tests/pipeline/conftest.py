import hashlib

import pytest

from olpipe.generation import Usage
from olpipe.image import ImageRef
from olpipe.imaging.discover import discover
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger
from olpipe.pipeline.selection import Selection
from olpipe.pipeline.survey import survey
from olpipe.record import Failure, FailureKind, ImageInfo, Record

EVERYTHING = Selection()


class Folder:
    """A folder of photos and an output folder, worked on with a real ledger and no model."""

    record_target, failure_target = "jsonl:records.jsonl", "jsonl:failures.jsonl"

    def __init__(self, root):
        self.photos = root / "photos"
        self.photos.mkdir()
        self.output = root / "out"
        self.worked = []
        self.told = None
        self.targets = {self.record_target: RECORD, self.failure_target: FAILURE}

    def put(self, name, data=None):
        path = self.photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() if data is None else data)

    def images(self, *inputs):
        return discover([str(path) for path in inputs or (self.photos,)], (".jpg",)).images

    def describe(self, *inputs, key="k1", selection=EVERYTHING):
        """Run once: survey, then work on each photo; bytes that say `bad` fail. Returns the names worked on."""
        self.worked = []
        with Ledger(self.output) as ledger:
            self.others = ledger.begin(key, self.targets, told=self.told)
            self.found = survey(ledger, self.images(*inputs), selection)
            for image in self.found.todo:
                self._work(ledger, image, key)
        return self.worked

    def _work(self, ledger, image, key):
        data = image.read_file()
        sha256 = hashlib.sha256(data).hexdigest()
        if ledger.adopt(image, sha256):
            return
        self.worked.append(image.name)
        ledger.commit(outcome(image, sha256, key, failed=data.startswith(b"bad")), [image])

    def rows(self, kind=RECORD, key="k1"):
        with Ledger(self.output) as ledger:
            ledger.begin(key, self.targets)
            return [row["file"] for _, row in ledger.rows_after(kind, 0)]

    def state(self, target=record_target, key="k1"):
        with Ledger(self.output) as ledger:
            ledger.begin(key, self.targets)
            return ledger.state(target)

    def advance(self, state, target=record_target, key="k1"):
        with Ledger(self.output) as ledger:
            ledger.begin(key, self.targets)
            ledger.advance(target, state)


def outcome(image: ImageRef, sha256, key, *, failed=False):
    if failed:
        return Failure(image.name, sha256, FailureKind.REFUSED, "bad")
    info = ImageInfo(1, 1, 1, "JPEG")
    return Record(image.name, sha256, info, {"title": key}, "m:latest", "sha256:0", "r", Usage(), truncated=False)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)
