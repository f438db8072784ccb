"""A batch whose sink writes into the photos themselves, and all that may happen to such a batch."""

from pathlib import Path

import pytest
from PIL import Image

from olpipe.cli.main import main
from olpipe.testing.install import install_project

PROJECT = Path(__file__).parents[2] / "plugins/olpipe-xmp"


@pytest.fixture(autouse=True)
def xmp(plugin_folder, monkeypatch):
    """Make the plugin with the sink `xmp-embed` known."""
    monkeypatch.syspath_prepend(PROJECT / "src")
    return install_project(plugin_folder, PROJECT)


def title_in(path):
    with Image.open(path) as photo:
        packet = photo.info["xmp"].decode()
    return packet[packet.index("<dc:title>") : packet.index("</dc:title>")]


def test_photos_that_the_batch_has_written_into_are_not_described_again(batch):
    batch.put("a.jpg", "trip/b.jpg")
    originals = {path: path.read_bytes() for path in batch.photos.rglob("*.jpg")}
    sinks = ("--sink", "jsonl", "--sink", "xmp-embed", "--no-page")
    assert batch.run(*sinks)[0] == 0
    titles = {path: title_in(path) for path in originals}
    assert all('xml:lang="en"' in title for title in titles.values())
    kept = batch.output / "xmp-embed/.olpipe-originals"
    assert {path: (kept / path.relative_to(batch.photos)).read_bytes() for path in originals} == originals
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    batch.put("c.jpg")
    assert batch.run(*sinks)[0] == 0
    assert (batch.report["photos"]["records"], batch.report["photos"]["renamed"]) == (1, 1)
    assert sorted(batch.files) == ["c.jpg", "trip/b.jpg", "z.jpg"]


def test_planning_writes_into_no_photo(batch):
    batch.put("a.jpg")
    before = (batch.photos / "a.jpg").read_bytes()
    with pytest.raises(SystemExit):
        main(batch.arguments("--sink", "xmp-embed", "--plan"))
    assert (batch.photos / "a.jpg").read_bytes() == before


def test_thumbnails_of_photos_that_the_batch_has_written_into_are_made_once(batch):
    sinks = ("--sink", "jsonl", "--sink", "xmp-embed")
    thumbnails = batch.output / "index_files" / ".thumbnails"
    batch.put("a.jpg")
    assert batch.run(*sinks, "--no-page")[0] == 0
    assert "making 1 thumbnail for the page" in batch.run(*sinks)[1]
    assert sum(path.is_file() for path in thumbnails.rglob("*")) == 1
    batch.put("b.jpg")
    code, said = batch.run(*sinks)
    assert (code, "making" in said) == (0, False)
    assert sum(path.is_file() for path in thumbnails.rglob("*")) == 2
