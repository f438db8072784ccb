"""Output folders with a page, made by a real ledger and no model, and a browser that shows them."""

import hashlib
import json
import re
from urllib.parse import quote

from olpipe.generation import Usage
from olpipe.image import ImageRef
from olpipe.imaging.decode import decode
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.page.page import Page
from olpipe.pipeline.page.thumbnails import make_thumbnail
from olpipe.plugins import Plugins
from olpipe.record import Certainty, Failure, FailureKind, ImageInfo, Record
from olpipe.settings import Settings
from tests.server.browser import Browser


class Album:
    """A folder of photos, and an output folder beside it."""

    def __init__(self, root, *, language="en"):
        self.photos, self.output = root / "photos", root / "out"
        self.photos.mkdir(parents=True)
        self.about = {"folder": "photos", "model": "echo:latest", "recipe": "photo-tags", "language": language}
        self.loaders = list(Plugins.load(Settings(home=root / "home")).image_loaders)
        self.notices = []
        self._outcomes = []

    def add(
        self, name, data=b"", /, *, size=(640, 480), orientation=1, certainty=None, read=(), thumbnail=True, **values
    ):
        """Add a photo that was described. Without bytes, there is no such file."""
        if data:
            decoded = decode(data, ".jpg", self.loaders)
            size, orientation = (decoded.width, decoded.height), decoded.orientation
        small = make_thumbnail(decoded) if data and thumbnail else b""
        sha256 = hashlib.sha256(data or name.encode()).hexdigest()
        info = ImageInfo(*size, orientation, "JPEG")
        certainty = None if certainty is None else Certainty(certainty)
        record = Record(
            name, sha256, info, values, "echo:latest", "sha256:0", "photo-tags", Usage(), False, certainty,
            read, thumbnail=small,
        )  # fmt: skip
        self._outcomes.append((record, data))

    def fail(self, name, message="the file is empty", hint=None):
        """Add a photo that could not be described."""
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        self._outcomes.append((Failure(name, sha256, FailureKind.UNREADABLE, message, hint), b""))

    def make(self, *, key="k1", stopped=False):
        """Write what was added to the ledger, and make the page."""
        with Ledger(self.output) as ledger:
            ledger.begin(key, {})
            page = Page(self.output, ledger, self.about, self.loaders)
            for outcome, data in self._outcomes:
                path = self.photos / outcome.file
                if data:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                if isinstance(outcome, Record):
                    page.keep(outcome)
                ledger.commit(outcome, [ImageRef(path, outcome.file, len(data), 0)])
            self._outcomes = []
            page.write(notice=self.notices.append, stopped=lambda: stopped)

    def rename(self, old, new):
        """Rename a photo, in the ledger, too."""
        with Ledger(self.output) as ledger:
            ledger.run("UPDATE photos SET name = ? WHERE name = ?", (new, old))

    @property
    def index(self):
        return self.output / "index.html"

    @property
    def thumbnails(self):
        return sorted((self.output / "index_files/.thumbnails").glob("*/*.jpg"))

    def entries(self):
        """Return what the page's data says, in its order."""
        about = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.index.read_text("utf-8"))
        found = []
        for name in json.loads(about[1])["data"]:
            text = (self.output / "index_files" / name).read_text("utf-8")
            found += json.loads(json.loads(re.fullmatch(r"olpipePage\.take\(JSON\.parse\((.*)\)\);\n", text)[1]))
        return found

    def written(self):
        """Return when each file that belongs to the page was written."""
        files = [self.index, *(self.output / "index_files").rglob("*")]
        return {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}


class AlbumBrowser(Browser):
    """A browser that shows an album."""

    def album(self, album, *, photo=None, **options):
        """Show an album, or a photo of it."""
        self.show("about:blank")
        self.show(album.index.as_uri() + ("" if photo is None else f"#photo={quote(photo)}"), **options)
        self.until("return document.body.dataset.ready")

    def files(self):
        """Return the file names or titles of the cards in the page, in their order."""
        return self.run("return [...document.querySelectorAll('#photos .name')].map((one) => one.textContent)")

    def type(self, name, text):
        """Type into a field, instead of what is in it, and wait until the page has answered."""
        from selenium.webdriver.common.keys import Keys

        self.one(name).send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, text)
        self.settle()

    def choose(self, name, value):
        """Set a list or a slider to a value."""
        self.run(
            "const one = document.getElementById(arguments[0]); one.value = arguments[1];"
            "one.dispatchEvent(new Event('input', {bubbles: true}));",
            name,
            value,
        )
        self.settle()

    def settle(self):
        """Wait until the page has drawn what has changed."""
        self.driver.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(arguments[0])))"
        )

    def press(self, *keys):
        """Press keys, wherever the keyboard is."""
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()
        self.settle()
