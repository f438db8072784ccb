"""`--sandbox` on the command line: a file that crashes what decodes it is one failed photo."""

import sys

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

# A loader that crashes its process, as a fault in a library of native code does
CRASHING = """
import ctypes
from olpipe.hookspecs import hookimpl
from olpipe.interfaces import ImageLoader

class Crashing(ImageLoader):
    name = "crashing"
    suffixes = (".crash",)

    def recognises(self, header, suffix):
        return suffix == ".crash"

    def decode(self, data, *, refuse_pixels, fit_pixels):
        ctypes.string_at(0)

@hookimpl
def register_image_loaders():
    return [Crashing()]
"""


def test_a_file_that_crashes_its_decoder_is_a_failure_and_the_others_get_their_records(
    batch, plugin_folder, monkeypatch
):
    (plugin_folder / "crashing.py").write_text(CRASHING)
    install_plugin(plugin_folder, "crashing", "crashing")
    monkeypatch.delitem(sys.modules, "crashing", raising=False)
    batch.put("a.jpg", "c.jpg")
    batch.put("b.crash", data=b"anything")
    code, said = batch.run("--sandbox", "--near", "2")
    assert code == 3, said
    assert batch.files == ["a.jpg", "c.jpg"]
    (failure,) = batch.failures
    assert (failure["file"], failure["kind"]) == ("b.crash", "unreadable")
    assert failure["message"].startswith("decoding it was stopped: ")


def test_records_are_the_same_with_and_without_a_sandbox(batch):
    batch.put("a.jpg", "b.jpg")
    batch.put("turned.jpg", data=photo(60, 40, orientation=6))
    batch.run("--sandbox")
    boxed = batch.records
    batch.run("--fresh")
    assert batch.records == boxed
