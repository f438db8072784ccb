"""Several processes pull, remove, copy, load and prune at once, and are killed. The store stays whole all the same.

Which process does what, and when it is killed, is drawn by a seed that a failure shows.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from filelock import FileLock

from olpipe.model import ModelName
from olpipe.store.library import Library
from olpipe.store.verify import verify
from olpipe.testing.models import write_tiny_gguf
from tests.store.registry_server import RegistryServer

OLPIPE = [sys.executable, "-m", "olpipe"]
MODELS = ("one", "two", "three")
SHARED = bytes(range(256)) * (5 << 10)
ROUNDS, WORKERS, LONGEST_ROUND_S = 4, 6, 15

# Work until the parent ends this process, and say what was done. That a model is not here is no fault. Blobs that no
# model needs are removed at once here, and not after an hour: what a pull counts on must stay all the same.
WORK = """
import random, sys, time
import olpipe.store.prune as pruning
from olpipe.store.leftovers import Ages
from olpipe.cli.app import App
from olpipe.errors import ModelNotFound, PullFailed, StoreError
from olpipe.model import ModelName
from olpipe.settings import Settings
from olpipe.store.build import backend_for, build
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source

def quiet(step):
    pass

pruning.ASKED = Ages(temporary=3600, blob=0, made=3600)
kind, seed = sys.argv[1:]
chosen = random.Random(seed)
app = App(Settings.read())
names = ["one", "two", "three"]
print("at work", flush=True)
while True:
    name = ModelName.parse(chosen.choice(names))
    copy = ModelName.parse(f"copy-{chosen.choice(names)}")
    try:
        if kind == "pull":
            origin, found = find_source(str(name), app.plugins)
            pull(origin, found, app.library, app.plugins, progress=quiet)
        elif kind == "change":
            time.sleep(0.05)
            if chosen.random() < 0.3:
                app.library.remove(chosen.choice([name, copy]))
            else:
                app.library.copy(name, copy)
        elif kind == "load":
            bundle = app.library.get(chosen.choice([name, copy]))
            build(bundle, backend_for(bundle, app.plugins.backends), quiet)
        elif chosen.random() < 0.1:
            pruning.give_up(app.library)
        else:
            time.sleep(0.02)
            app.library.clean()
            pruning.prune(app.library)
        print(kind, flush=True)
    except (ModelNotFound, PullFailed):
        pass  # it was removed just now, or the connection broke too often
    except StoreError as error:
        # What another process removes at this moment is missing for who loads it, and for nobody else
        if kind != "load" or "is missing" not in error.message:
            raise
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A registry with three models that share a file. Connections break now and then."""
    with RegistryServer() as server:
        monkeypatch.setenv("OLPIPE_REGISTRY", server.url)
        for seed, name in enumerate(MODELS):
            weights = write_tiny_gguf(tmp_path / f"{name}.gguf", seed=seed).read_bytes()
            server.put(f"library/{name}", [server.layer(weights), server.layer(SHARED, name="shared.bin")])
        yield server


@pytest.fixture
def library(isolated_home):
    return Library(isolated_home / "models", cache=isolated_home / "cache")


class Worker:
    """A process at work."""

    def __init__(self, kind, seed, done):
        self.kind = kind
        command = [sys.executable, "-c", WORK, kind, str(seed)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._count, args=(done,), daemon=True)
        self._thread.start()

    def _count(self, done):
        for line in self.process.stdout:
            done[line.strip()] += 1

    def kill(self):
        """End it at once; return what it said where it had ended by itself."""
        self.process.send_signal(signal.SIGKILL)
        said = self.process.stderr.read()
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return [] if self.process.returncode == -signal.SIGKILL else [f"{self.kind}: {said[-2000:]}"]


def work(kinds, chosen):
    """Let processes work until each kind has done something, then kill them; return what those said that failed."""
    done = Counter()
    workers = [Worker(kind, chosen.random(), done) for kind in kinds]
    ends = time.monotonic() + LONGEST_ROUND_S
    while min(done[kind] for kind in kinds) < 2 and time.monotonic() < ends:
        time.sleep(0.1)
    said = []
    for worker in chosen.sample(workers, len(workers)):
        time.sleep(chosen.random() * 0.3)
        said += worker.kill()
    return said


def check(library, seed):
    """Check everything that must hold after processes were killed."""
    found = verify(library, None, lambda _: None)
    assert found.is_sound, (seed, [model for model in found.models if model.faults], found.unneeded)
    for path in library.incoming.glob("*.lock"):
        with FileLock(path, timeout=5):
            pass
    unfinished = {folder for pull in library.unfinished.all() for folder in pull.partials}
    stored = {digest for digest, _ in library.blobs.entries()}
    for folder in library.incoming.glob("pull-*"):
        if folder.is_dir():
            assert folder.name in unfinished, (seed, folder)
    for name in library.names():
        model = library.describe(name)
        assert library.missing(model) == [], (seed, name)
        assert model.manifest.blob_digests <= stored
        bundle = library.get(name)
        assert (bundle.path / "shared.bin").read_bytes() == SHARED, (seed, name)


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", [1])
def test_a_store_stays_whole_whoever_is_killed(server, library, seed):
    chosen = random.Random(seed)
    for name in MODELS:
        assert subprocess.run([*OLPIPE, "pull", name], capture_output=True, check=False).returncode == 0
    for _ in range(ROUNDS):
        server.cuts = [chosen.randrange(1, 200_000) if chosen.random() < 0.3 else 1 << 40 for _ in range(60)]
        kinds = ["pull", "change", "load", "prune", *chosen.choices(["pull", "pull", "change", "load"], k=WORKERS - 4)]
        assert work(kinds, chosen) == [], seed
        check(library, seed)
    # Nothing is in the way of those who come later, and nothing finished leaves a part behind
    server.cuts = []
    for name in MODELS:
        pulled = subprocess.run([*OLPIPE, "pull", name], capture_output=True, text=True, check=False)
        assert pulled.returncode == 0, (seed, pulled.stderr)
    asked = [*OLPIPE, "run", "one", "the cat", "--max-tokens", "2"]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
    assert not {ModelName.parse(name) for name in MODELS} - set(library.names())
    check(library, seed)
    assert library.unfinished.all() == []
    assert [path for path in library.incoming.glob("pull-*") if path.is_dir()] == []
