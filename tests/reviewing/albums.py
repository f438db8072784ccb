"""Output folders whose records can be reviewed, and `olpipe review` over them in a process of its own."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

from olpipe.image import ImageRef
from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import FAILURE, RECORD, Ledger, TargetState
from olpipe.pipeline.outlets import choose_places, open_outlets
from olpipe.pipeline.page.page import about_photos
from olpipe.pipeline.write import Writer
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from tests.pipeline.page.albums import Album

TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "properties": {
        "title": TEXT, "alt": TEXT, "description": TEXT, "tags": {"type": "array", "items": TEXT},
    },
}  # fmt: skip


class ReviewAlbum(Album):
    """A folder of photos and what a batch made of them: ledger, page and targets, without a model."""

    def __init__(self, root):
        super().__init__(root)
        self.copies = {}  # photos that are equal to others, by their names

    def run(self, key="k1", schema=SCHEMA):
        return RunInfo(self.photos, self.output, schema, f"recipe-{key}", key, "m:latest", "sha256:0", "en")

    def batch(self, *sinks, key="k1", schema=SCHEMA):
        """Do what a batch does: remember the run, write what was added to the ledger and to targets, make the page."""
        registry = Plugins.load(Settings.read()).sinks
        self.about = about_photos(self.run(key, schema))
        with Ledger(self.output) as ledger:
            remember_run(ledger, self.run(key, schema))
        self.make(key=key)
        with Ledger(self.output) as ledger:
            ledger.begin(key, {})
            for name, data in self.copies.items():
                (self.photos / name).parent.mkdir(parents=True, exist_ok=True)
                (self.photos / name).write_bytes(data)
                ledger.adopt(ImageRef(self.photos / name, name, len(data), 0), hashlib.sha256(data).hexdigest())
            for path in filter(os.path.isfile, [path for (path,) in ledger.run("SELECT path FROM photos").fetchall()]):
                ledger.run("UPDATE photos SET modified_ns = ? WHERE path = ?", (os.stat(path).st_mtime_ns, path))
            places = choose_places(sinks or ("jsonl",), schema, self.output, registry)
            with Writer(ledger, open_outlets(places, self.run(key, schema), registry)) as writer:
                ledger.begin(key, {str(place): place.kind for place in places})
                writer.start()
                writer.flush()
        self.make(key=key)

    def forget_page(self):
        for path in (self.index, *(self.output / "index_files").glob("photos-*.js")):
            path.unlink()

    def records(self, name="records.jsonl"):
        """Return the records of a target by their `file`."""
        lines = [json.loads(line) for line in (self.output / name).read_text("utf-8").splitlines()]
        assert len({line["file"] for line in lines}) == len(lines)
        return {line["file"]: line for line in lines}

    def rows(self, key="k1"):
        """Return what the ledger gives to sinks, by the photos' names."""
        with Ledger(self.output) as ledger:
            ledger.begin(key, {"jsonl:failures.jsonl": FAILURE})
            rows = {row["file"]: row for _, row in ledger.rows_after(RECORD, 0)}
            last = ledger.value("SELECT max(seq) FROM rows") or 0
            ledger.advance("jsonl:failures.jsonl", TargetState(last, 1))
        return rows


class Reviewing:
    """A running `olpipe review`. Use it as a context manager.

    Attributes:
        address: The address that it printed.
        port: Its port.
        base: The address without the token.
        token: The token in it.
    """

    def __init__(self, output, *arguments):
        line = [sys.executable, "-P", "-m", "olpipe", "review", str(output), *arguments]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said = []
        self.address = ""
        while not self.address:
            said = self.process.stderr.readline()
            assert said, f"it ended: {''.join(self.said)}"
            self.said.append(said)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", said)
            if found:
                self.address, self.port, self.token = found[0], int(found[1]), found[2]
        self.base = f"http://127.0.0.1:{self.port}"

    def ask(self, path, body=None, *, method=None, **headers):
        """Return the status, the headers and the bytes of the answer at a path below the address."""
        given = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if body is not None:
            given.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = path if path.startswith("http") else urllib.parse.urljoin(self.address, path)
        request = urllib.request.Request(url, body, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def entries(self):
        """Return the entries of the page by their `file`."""
        text = self.ask("index_files/photos-0.js")[2].decode()
        found = json.loads(json.loads(re.fullmatch(r"olpipePage\.take\(JSON\.parse\((.*)\)\);\n", text)[1]))
        return {entry["file"]: entry for entry in found}

    def change(self, file, **what):
        """Send a change, as the page does, and return the status and the JSON of the answer."""
        body = {"file": file, "photo": self.entries()[file]["thumbnail"], **what}
        status, _, data = self.ask("review", body, X_Olpipe_Review=self.token)
        return status, json.loads(data)

    def interrupt(self):
        """End it as Ctrl-C does, and return the exit code and what it said."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=120)[1]
        return self.process.returncode, said

    def kill(self):
        """End it as `kill -9` does."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=60)
