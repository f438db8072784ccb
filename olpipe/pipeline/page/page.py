"""Write the page of an output folder: `index.html`, with its data and thumbnails in `index_files`.

The page works when its file is opened in a browser, without a server. A browser lets no script read files that way, so
the data lies in `.js` files that the page loads. Their names hold a digest of what is in them, and `index.html`, which
names them, is replaced last: so a page is either the old one or the new one.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from olpipe.errors import OutputUnavailable
from olpipe.interfaces import ImageLoader, RunInfo
from olpipe.pipeline.ledger import Ledger
from olpipe.pipeline.output import writing
from olpipe.pipeline.page.entries import entries, known_digests, photos, state
from olpipe.pipeline.page.thumbnails import Thumbnails, read_thumbnail
from olpipe.record import Copy, Record

PAGE_NAME, FILES_NAME = "index.html", "index_files"
"""The page, and the folder with what belongs to it. Windows copies and moves files with such names together."""

THUMBNAILS_NAME = ".thumbnails"
EACH_FILE = 1000
"""Most photos in one file of data."""

_PARTS = Path(__file__).parent
_BEGINNING = b"<!doctype html>\n<!-- olpipe page "
_DIGEST_DIGITS = 64
_UNFINISHED = "0" * _DIGEST_DIGITS
"""Stands for the digest where thumbnails are still missing, so that the next run goes on."""


def about_photos(run: RunInfo) -> dict[str, str]:
    """Return what the page says about all photos of a run."""
    folder = os.fsencode(run.root.name).decode("utf-8", "backslashreplace") or "Photos"
    return {"folder": folder, "model": run.model, "recipe": run.recipe, "language": run.language}


def refuse_other_page(output: Path) -> None:
    """Refuse an output folder where a file has the page's name and is not such a page.

    Raises:
        OutputUnavailable: There is such a file.
    """
    path = output / PAGE_NAME
    head = _head(path)
    if head is not None and head.strip(b"\0") and not _BEGINNING.startswith(head[: len(_BEGINNING)]):
        message = f"`{path}` is no page of olpipe, and is not replaced"
        raise OutputUnavailable(message, hint="move it away, or leave the page out with `--no-page`")


class Page:
    """The page of one run's output folder, and the thumbnails that it shows."""

    def __init__(self, output: Path, ledger: Ledger, about: Mapping[str, str], loaders: Iterable[ImageLoader]) -> None:
        """Make an object for an output folder. Nothing is written yet.

        Args:
            output: The output folder.
            ledger: Its ledger, after its `begin`.
            about: What the page says about all photos: `folder`, `model`, `recipe` and `language`.
            loaders: They read photos that have no thumbnail, because they were described without a page.
        """
        self._output = output
        self._ledger = ledger
        self._about = dict(about)
        self._loaders = loaders
        self._thumbnails = Thumbnails(output, output / FILES_NAME / THUMBNAILS_NAME)

    def keep(self, record: Record | Copy) -> None:
        """Keep the thumbnail of a photo."""
        if record.thumbnail:
            self._thumbnails.keep(record.sha256, record.thumbnail)

    def write(self, *, notice: Callable[[str], None], stopped: Callable[[], bool]) -> None:
        """Bring the page up to date. Where nothing is new, nothing is written.

        Args:
            notice: Called with a line for the user, where that takes a while.
            stopped: Whether the run is to end soon. Missing thumbnails are left to the next run then.

        Raises:
            DiskFull: There was no space for it.
            OutputUnavailable: It cannot be written.
        """
        digest = self._digest()
        if _head(self._output / PAGE_NAME) == _BEGINNING + digest.encode():
            return
        whole = self.add_thumbnails(notice=notice, stopped=stopped)
        with writing(self._output):
            names = list(self._write_data())
            beginning = _BEGINNING.decode() + (digest if whole else _UNFINISHED)
            text = beginning + " -->\n" + _filled({**self._about, "data": names, "thumbnails": THUMBNAILS_NAME})
            _replace(self._output / PAGE_NAME, text.encode())
            self._remove_others(names)

    def _digest(self) -> str:
        import orjson

        parts = (_template(), orjson.dumps(self._about), os.path.abspath(os.fsencode(self._output)))
        hashed = hashlib.sha256()
        for part in (*parts, state(self._ledger)):
            hashed.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
        return hashed.hexdigest()

    def add_thumbnails(self, *, notice: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
        """Make the thumbnails that are missing, and return whether none was left to the next run."""
        paths = photos(self._ledger)
        missing = self._thumbnails.missing(paths)
        if missing and not stopped():
            notice(f"making {len(missing)} thumbnail{'s' if len(missing) > 1 else ''} for the page")
        for sha256 in missing:
            if stopped():
                return False
            data = read_thumbnail(*paths[sha256], self._loaders)
            if data is not None:
                self._thumbnails.keep(sha256, data)
        return True

    def _write_data(self) -> Iterator[str]:
        """Write the files of data, and yield their names. A file that is there already is not written again."""
        folder = self._output / FILES_NAME
        folder.mkdir(parents=True, exist_ok=True)
        rows = entries(self._ledger, self._output)
        while some := list(islice(rows, EACH_FILE)):
            data = data_script(some)
            name = f"photos-{hashlib.sha256(data).hexdigest()[:16]}.js"
            if not _has_size(folder / name, len(data)):
                _replace(folder / name, data)
            yield name

    def _remove_others(self, names: Iterable[str]) -> None:
        """Remove what earlier pages had and this one does not need."""
        kept = set(names)
        for path in (self._output / FILES_NAME).glob("photos-*.js*"):
            if path.name not in kept:
                with suppress(OSError):
                    path.unlink()
        self._thumbnails.remove_others(known_digests(self._ledger))


def data_script(some: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the file that brings entries into the page."""
    import orjson

    # A text that is parsed as JSON, not a literal: there, a key `__proto__` would be something special
    text = orjson.dumps(orjson.dumps(some).decode())
    return b"olpipePage.take(JSON.parse(" + text + b"));\n"


def _head(path: Path) -> bytes | None:
    """Return the beginning of a page, up to the end of its digest; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(_BEGINNING) + _DIGEST_DIGITS)
    except OSError:
        return None


def served_page(about: Mapping[str, Any]) -> str:
    """Return the page as a review serves it: people can approve, edit and reject in it.

    Args:
        about: What `about_photos` returns, with `data`, `thumbnails`, and `review` for its script.
    """
    return "<!doctype html>\n" + _filled(about, served=True)


@cache
def _template(*, served: bool = False) -> str:
    """Return the page with its style and its script, and with places for its policy and its data.

    Args:
        served: Whether a server stands behind it, which takes what people change.
    """
    names = ("page", "review", "form") if served else ("page",)
    styles, scripts = [f"{name}.css" for name in names], [f"{name}.js" for name in reversed(names)]
    parts = {
        part: "".join(_PARTS.joinpath(file).read_text(encoding="utf-8") for file in files)
        for part, files in (("style", styles), ("script", scripts))
    }
    # 'strict-dynamic' lets the page's own script load the data, and nothing else loads scripts
    rules = (
        "default-src 'none'",
        f"script-src {_hash(parts['script'])} 'strict-dynamic'",
        f"style-src {_hash(parts['style'])}",
        "img-src 'self' data:" if served else "img-src 'self' file: data:",
        *(("connect-src 'self'",) if served else ()),
        "base-uri 'none'",
        "form-action 'none'",
    )
    parts["policy"] = "; ".join(rules)
    return _put(_PARTS.joinpath("page.html").read_text(encoding="utf-8"), parts)


def _filled(about: Mapping[str, Any], *, served: bool = False) -> str:
    """Return the page with its data, in which nothing can end the element that holds it."""
    import orjson

    text = orjson.dumps(about).decode().replace("<", "\\u003c")
    return _put(_template(served=served), {"about": text})


def _put(text: str, parts: Mapping[str, str]) -> str:
    """Put parts into the places for them: `{{name}}`."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts.get(found[1], found[0]), text)


def _hash(text: str) -> str:
    """Return the hash by which a policy names what stands in an element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _replace(path: Path, data: bytes) -> None:
    """Put a file in place as a whole."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)
