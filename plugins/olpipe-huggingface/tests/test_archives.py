"""Photos in archives: the data set has copies of them."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from olpipe.archives.opened import close_archives
from olpipe.testing.contracts.sinks import opened, run_info

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the record of a photo in an archive with a sink, and returns the photo's bytes."""

    def written(scheme, color=1):
        import olpipe_huggingface

        picture = io.BytesIO()
        Image.new("RGB", (8, 6), (color, 0, 0)).save(picture, "PNG")
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("day/cat.png", picture.getvalue())
        factory = next(found for found in olpipe_huggingface.register_sinks() if found.scheme == scheme)
        image = {"width": 8, "height": 6, "orientation": 1, "format": "PNG"}
        with opened(factory, ".", run_info(tmp_path / "set"), 0) as sink:
            sink.write({"file": "x.zip/day/cat.png", "image": image, "model": "m:latest", "title": "A cat"})
            sink.flush()
        close_archives()
        return picture.getvalue()

    return written


def test_a_photo_in_an_archive_is_copied(write, tmp_path):
    for color in (1, 2):  # the second time, the archive holds another photo of this name
        data = write("huggingface", color)
        (name,) = pq.read_table(tmp_path / "set" / "train" / "metadata.parquet")["file_name"].to_pylist()
        assert Path(tmp_path, "set", "train", name).read_bytes() == data


def test_a_table_of_paths_has_none_for_a_photo_in_an_archive(write, tmp_path):
    write("huggingface-paths")
    (row,) = pq.read_table(next((tmp_path / "set" / "data").iterdir())).to_pylist()
    assert (row["image"], row["title"]) == (None, "A cat")
