"""A store that one user fills, and that others may only read."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from olpipe.model import ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library
from olpipe.store.pull import pull
from olpipe.store.resolve import find_source
from olpipe.testing.models import write_tiny_gguf

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
PATHS = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
START = "import subprocess as s, sys; sys.exit(s.call([sys.executable, '-c', 'import olpipe.cli.main, onnxruntime']))"


@pytest.fixture(scope="module")
def python():
    """Return an interpreter of this version that another user can start.

    That of a virtual environment may be a link to where the other user cannot go.
    """
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and `setpriv`, to run as another user")
    usual = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    for path in filter(None, (os.path.realpath(sys.executable), usual)):
        tried = [*AS_NOBODY, path, "-c", START]
        if subprocess.run(tried, capture_output=True, cwd="/", env=os.environ | PATHS, check=False).returncode == 0:
            return path
    return pytest.skip("there is no interpreter that another user may start")


@pytest.fixture
def places(python):
    """Return a home that root owns, with a model that is converted, and a folder of the other user."""
    root = Path(tempfile.mkdtemp(prefix="olpipe-shared-"))
    root.chmod(0o755)
    shared, own = root / "shared", root / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    library = Library(shared / "models", cache=shared / "cache")
    plugins = Plugins.load(Settings(plugins_allow=()))
    origin, _ = find_source(f"file:{write_tiny_gguf(root / 'tiny.gguf')}", plugins)
    pull(origin, ModelName.parse("tiny"), library, plugins, progress=lambda _: None)
    yield shared, own
    shutil.rmtree(root)


@pytest.fixture
def olpipe(python, unmeasured):
    """Run a command as the other user; return its exit code, stdout, and the lines of stderr."""

    def run(*arguments, **variables):
        environment = os.environ | PATHS | {name: str(value) for name, value in variables.items()}
        environment["HOME"] = "/nonexistent"
        command = [*AS_NOBODY, python, "-m", "olpipe", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=environment, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()

    return run


def snapshot(folder):
    return {str(path): os.lstat(path).st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_others_list_run_and_check_models_of_a_home_that_they_may_only_read(places, olpipe):
    shared, _ = places
    before = snapshot(shared)
    code, out, _ = olpipe("list", OLPIPE_HOME=shared)
    assert code == 0 and "tiny:latest" in out
    code, out, said = olpipe("run", "tiny", "the cat", "--max-tokens", "3", OLPIPE_HOME=shared)
    assert code == 0 and out.strip(), said
    code, out, said = olpipe("store", "verify", OLPIPE_HOME=shared)
    assert (code, out.splitlines()[-1][:13]) == (0, "1 model sound"), said
    assert olpipe("store", "du", OLPIPE_HOME=shared)[0] == 0
    assert olpipe("show", "tiny", OLPIPE_HOME=shared)[0] == 0
    assert snapshot(shared) == before


@pytest.mark.parametrize(
    "arguments", [("rm", "tiny"), ("cp", "tiny", "other"), ("store", "prune", "--yes"), ("pull", "file:/nothing.gguf")]
)
def test_others_change_nothing_and_get_one_clear_line(places, olpipe, arguments):
    shared, _ = places
    before = snapshot(shared)
    code, out, said = olpipe(*arguments, OLPIPE_HOME=shared)
    assert code == 1 and out == ""
    assert said[-2].startswith(f"error: `{shared}") and said[-2].endswith("cannot be written (Permission denied)")
    assert said[-1] == "hint: set OLPIPE_HOME or OLLAMA_MODELS to a folder that you may write to"
    assert snapshot(shared) == before


def test_others_run_models_of_a_shared_folder_with_a_cache_of_their_own(places, olpipe):
    shared, own = places
    before = snapshot(shared)
    given = {"OLPIPE_HOME": own, "OLLAMA_MODELS": shared / "models"}
    for _ in range(2):
        code, out, said = olpipe("run", "tiny", "the cat", "--max-tokens", "3", **given)
        assert code == 0 and out.strip(), said
    code, out, said = olpipe("store", "verify", **given)
    assert code == 0, said
    assert snapshot(shared) == before
    assert {path.owner() for path in own.rglob("*")} == {"nobody"}
    assert not any(stat.S_ISLNK(path.lstat().st_mode) for path in own.rglob("*"))
