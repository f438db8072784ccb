"""Photos are decoded in processes that may crash: each fault is one failed photo, and nothing is left behind."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from olpipe.errors import ImageTooLarge, ImageUnreadable
from olpipe.imaging.decode import decode
from olpipe.imaging.sandbox.limits import Limits
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.imaging.taken import day_taken
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.testing.images import decoded, photo
from olpipe.testing.install import install_plugin

# What a file of this loader holds is what becomes of the process that decodes it
HOSTILE = """
import ctypes, os, time
from pathlib import Path
from olpipe.hookspecs import hookimpl
from olpipe.image import DecodedImage
from olpipe.interfaces import ImageLoader
from olpipe.testing.images import quadrants

class Hostile(ImageLoader):
    name = "hostile"
    suffixes = (".hostile",)

    def recognises(self, header, suffix):
        return suffix == ".hostile"

    def decode(self, data, *, refuse_pixels, fit_pixels):
        what = data.decode()
        if "PID_FILE" in os.environ:
            Path(os.environ["PID_FILE"]).write_text(str(os.getpid()))
        if what == "crash":
            ctypes.string_at(0)
        if what == "sleep":
            time.sleep(10_000)
        if what == "hold":  # for ever, and no other thread of this process gets a turn
            ctypes.PyDLL(None).pause()
        if what == "bomb":
            kept = []
            while True:
                kept.append(bytearray(1 << 24))
        if what == "exit":
            os._exit(7)
        if what == "print":
            print("hello", flush=True)
            os.write(1, b"hello")
        if what == "odd":
            raise RuntimeError("odd\\nvery odd")
        if what == "larger":
            return DecodedImage(quadrants(48, 32), 4, 3)
        return DecodedImage(quadrants(48, 32), 48, 32)

@hookimpl
def register_image_loaders():
    return [Hostile()]
"""

ASK = """
import sys
from olpipe.imaging.decode import decode
from olpipe.imaging.sandbox.limits import Limits
from olpipe.imaging.sandbox.pool import Sandbox
from olpipe.plugins import Plugins
from olpipe.settings import Settings

settings = Settings.read()
loaders = Sandbox(settings, Limits(seconds=float(sys.argv[2]))).loaders(Plugins.load(settings).image_loaders)
decode(sys.argv[1].encode(), ".hostile", loaders)
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of memory are POSIX here")


@pytest.fixture
def plugins(plugin_folder, monkeypatch):
    (plugin_folder / "hostile.py").write_text(HOSTILE)
    install_plugin(plugin_folder, "hostile", "hostile")
    monkeypatch.delitem(sys.modules, "hostile", raising=False)
    monkeypatch.setenv("OLPIPE_PLUGINS", "hostile")
    return Plugins.load(Settings.read())


@pytest.fixture
def sandboxed(plugins):
    """Return a function that decodes in a sandbox of one process."""
    with Sandbox(Settings.read(), Limits(seconds=3, memory_bytes=300_000_000), processes=1) as sandbox:
        loaders = sandbox.loaders(plugins.image_loaders)
        yield lambda data, suffix=".hostile", **options: decode(data, suffix, loaders, **options)


def failing(sandboxed, data):
    with pytest.raises(ImageUnreadable) as caught:
        sandboxed(data)
    return caught.value.message


@posix
def test_every_fault_is_an_error_of_one_photo_and_the_next_one_is_decoded(sandboxed):
    stopped = "decoding it was stopped: the process"
    assert failing(sandboxed, b"crash") == f"{stopped} was ended by SIGSEGV"
    assert sandboxed(b"good").pixels.shape == (32, 48, 3)
    assert failing(sandboxed, b"bomb") == f"{stopped} used more than 300 MB of memory"
    assert failing(sandboxed, b"sleep") == f"{stopped} took longer than 3 seconds"
    assert failing(sandboxed, b"exit") == f"{stopped} ended with exit code 7"
    assert sandboxed(b"good").pixels.shape == (32, 48, 3)


def test_what_a_loader_raises_and_prints_does_no_harm(sandboxed):
    assert failing(sandboxed, b"odd") == "the image is damaged: odd"
    assert sandboxed(b"print").width == 48
    assert failing(sandboxed, b"larger") == "the process that decoded it said what cannot be"
    with pytest.raises(ImageTooLarge, match="48 x 32 pixels"):
        sandboxed(photo(), ".jpg", refuse_pixels=1000)


def test_pixels_are_the_same_as_without_a_sandbox(sandboxed, plugins):
    for data, suffix in ((photo(1600, 1200, orientation=6), ".jpg"), (photo(file_format="PNG"), ".png")):
        here, there = (
            decode(data, suffix, plugins.image_loaders, sizes=(5000, 400_000)),
            sandboxed(data, suffix, sizes=(5000, 400_000)),
        )
        for mine, theirs in zip((here.pixels, *here.smaller), (there.pixels, *there.smaller), strict=True):
            assert np.array_equal(mine, theirs)
        about = [(one.width, one.height, one.orientation, one.format) for one in (here, there)]
        assert about[0] == about[1]
    assert sandboxed(b"good").digest() == decoded().digest()


def test_the_day_on_which_a_photo_was_taken_is_read_there_too(plugins):
    with Sandbox(Settings.read(), processes=1) as sandbox:
        assert sandbox.day_taken(photo()) == day_taken(photo())
        assert sandbox.day_taken(b"junk") is None


@posix
@pytest.mark.parametrize(("what", "seconds"), [("sleep", 600), ("hold", 1)])
def test_a_process_does_not_outlive_the_one_that_asked_it(plugins, tmp_path, monkeypatch, what, seconds):
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(pid_file))
    with subprocess.Popen([sys.executable, "-c", ASK, what, str(seconds)]) as asker:
        while not (pid_file.exists() and pid_file.read_text()) and asker.poll() is None:
            time.sleep(0.02)
        asker.kill()
    pid = int(pid_file.read_text())
    while is_running(pid):  # nothing but the end of this process ends the test
        time.sleep(0.05)


def is_running(pid):
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    with suppress(OSError):
        os.kill(pid, 0)
        return not os.path.isdir("/proc/self")
    return False
