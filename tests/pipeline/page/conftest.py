import pytest

from tests.pipeline.page.albums import Album, AlbumBrowser


@pytest.fixture
def album(tmp_path):
    return Album(tmp_path)


@pytest.fixture(scope="package")
def browser():
    browser = AlbumBrowser()
    yield browser
    browser.close()
