import pytest

from olpipe.testing.images import photo
from tests.pipeline.page.albums import AlbumBrowser
from tests.reviewing.albums import ReviewAlbum, Reviewing

ALL_SINKS = ("jsonl", "csv", "sidecar", "sqlite")


def filled(album):
    """Add four photos, one of them a copy, and a failure."""
    for number, name in enumerate(("cat", "dog", "street")):
        more = {} if name == "street" else {"description": f"There is a {name}."}
        album.add(
            *(f"{name}.jpg", photo(90 + number, 60)), title=f"A {name}", alt=f"A {name} in a photo.",
            tags=[name, "photo"], tag_scores=[0.9, None], certainty="sure", **more,
        )  # fmt: skip
    album.copies["sub/copy.jpg"] = photo(90, 60)
    album.fail("broken.jpg")
    return album


@pytest.fixture
def album(tmp_path):
    """Return an album that a batch has described, with all sinks that ship."""
    album = filled(ReviewAlbum(tmp_path))
    album.batch(*ALL_SINKS)
    return album


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a review that runs, for tests that change nothing."""
    album = filled(ReviewAlbum(tmp_path_factory.mktemp("served")))
    album.batch()
    with Reviewing(album.output) as reviewing:
        reviewing.album = album
        yield reviewing


@pytest.fixture(scope="package")
def browser():
    browser = AlbumBrowser()
    yield browser
    browser.close()
