"""Evidence that is kept: found again, looked at anew where it must be, and never in the way."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from olpipe.generation import GenerateRequest
from olpipe.image import Box, DecodedImage
from olpipe.interfaces import Perceiver
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelConfig, ModelName
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.perception.ground import Grounder
from olpipe.record import Detection, Evidence, Label, ReadText
from olpipe.registry import Registry

SEEN = Evidence(
    (Detection("cat", 0.1 + 0.2, Box(1, 2, 30, 20), ("tabby", "猫")),),
    (Label("cat", 0.9), Label("tabby", 1e-17)),
    (ReadText('say "hi"\n', 0.5, Box(0, 0, 9, 9)), ReadText("出口", 0.75)),
)
FILL = """
import sys
from pathlib import Path
from olpipe.perception.evidence_cache import EvidenceCache
from olpipe.record import Evidence, Label

path, name = sys.argv[1:]
cache, looks = EvidenceCache(Path(path)), 0

def look():
    global looks
    looks += 1
    return Evidence(tags=(Label(name, 1.0),))

print("ready", flush=True)
sys.stdin.readline()
found = [cache.get(f"{name}-{number}", "eye", "1", look) for _ in range(2) for number in range(100)]
print(looks, {label.name for evidence in found for label in evidence.tags} == {name})
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "evidence.sqlite"


@pytest.fixture
def cache(path):
    cache = EvidenceCache(path)
    yield cache
    cache.close()


def never():
    pytest.fail("it was looked at again")


def test_evidence_comes_back_as_it_was(cache, path):
    assert cache.get("image", "eye", "1", lambda: SEEN) == SEEN
    assert cache.get("image", "eye", "1", never) == SEEN
    cache.close()
    again = EvidenceCache(path)
    assert again.get("image", "eye", "1", never) == SEEN
    again.close()


@pytest.mark.parametrize("key", [("other", "eye", "1"), ("image", "nose", "1"), ("image", "eye", "2")])
def test_another_image_perceiver_or_version_is_looked_at(cache, key):
    cache.get("image", "eye", "1", lambda: SEEN)
    assert cache.get(*key, Evidence) == Evidence()
    assert cache.get("image", "eye", "1", never) == SEEN


def test_an_error_while_looking_is_not_kept(cache):
    with pytest.raises(ZeroDivisionError):
        cache.get("image", "eye", "1", lambda: 1 / 0)
    assert cache.get("image", "eye", "1", lambda: SEEN) == SEEN


def test_evidence_that_json_cannot_say_is_handed_on_and_not_kept(cache):
    odd = Evidence(tags=(Label("cat", np.float32(0.5)),))
    assert cache.get("image", "eye", "1", lambda: odd) == odd
    assert cache.get("image", "eye", "1", lambda: SEEN) == SEEN


def test_nothing_is_written_before_there_is_something_to_keep(cache, path):
    assert not path.parent.exists()
    cache.close()
    assert not path.parent.exists()


def test_a_cache_that_was_closed_looks_and_keeps_nothing(cache, path):
    cache.close()
    assert cache.get("image", "eye", "1", lambda: SEEN) == SEEN
    assert not path.exists()


@pytest.mark.parametrize("damage", ["text", "cut", "scribbled"])
def test_a_damaged_file_only_costs_the_look_and_is_made_anew(path, damage):
    first = EvidenceCache(path)
    for number in range(200):
        first.get(f"image-{number}", "eye", "1", lambda: SEEN)
    first.close()
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = b"not a database, " * 400
    elif damage == "cut":
        data = data[:5000]
    else:
        data[4096 : 4096 * 6] = b"\xff" * (4096 * 5)
    path.write_bytes(data)

    second = EvidenceCache(path)
    looks = []
    for number in range(200):
        assert second.get(f"image-{number}", "eye", "1", lambda: looks.append(1) or SEEN) == SEEN
    assert looks
    second.close()
    third = EvidenceCache(path)
    third.get("image-0", "eye", "1", lambda: SEEN)
    assert third.get("image-0", "eye", "1", never) == SEEN
    third.close()


@pytest.mark.parametrize(
    "entry", [b"{}", b"[]", b"5", b"{", b'{"objects":[{}],"tags":[],"texts":[]}', b'{"objects":0,"tags":[],"texts":[]}']
)
def test_an_entry_of_another_kind_is_replaced(cache, path, entry):
    cache.get("image", "eye", "1", lambda: SEEN)
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE evidence SET json = ?", (entry,))
    connection.close()
    again = EvidenceCache(path)
    assert again.get("image", "eye", "1", lambda: SEEN) == SEEN
    assert again.get("image", "eye", "1", never) == SEEN
    again.close()


def test_a_place_that_cannot_be_written_only_costs_the_look(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = EvidenceCache(tmp_path / "file" / "evidence.sqlite")
    assert cache.get("image", "eye", "1", lambda: SEEN) == SEEN
    cache.close()


def test_the_oldest_entries_go(path, monkeypatch):
    monkeypatch.setattr("olpipe.perception.evidence_cache.MOST_ENTRIES", 3)
    first = EvidenceCache(path)
    for number in range(5):
        first.get(str(number), "eye", "1", lambda: SEEN)
    first.close()
    second = EvidenceCache(path)
    looks = []
    for number in (4, 3, 2, 1, 0):
        second.get(str(number), "eye", "1", lambda number=number: looks.append(number) or SEEN)
    second.close()
    assert looks == [1, 0]


def test_threads_share_a_cache(cache):
    def work(name):
        for number in range(50):
            cache.get(f"{name}-{number}", "eye", "1", lambda: SEEN)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcd":
        for number in range(50):
            assert cache.get(f"{name}-{number}", "eye", "1", never) == SEEN


def test_processes_share_a_file(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FILL, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # both begin now
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in processes] == ["100 True\n"] * 2
    cache = EvidenceCache(path)
    for name in ("one", "two"):
        assert cache.get(f"{name}-99", "eye", "1", never).tags == (Label(name, 1.0),)
    cache.close()


# --- in front of perceivers -----------------------------------------------------------------------


class Counting(Perceiver):
    """Sees a cat, and counts how often it looks."""

    name = "counting"

    def __init__(self, version="1"):
        self.version = version
        self.looks = 0

    def perceive(self, image):
        self.looks += 1
        return Evidence(tags=(Label("cat", 0.9),))


def photo(value=0, width=90):
    return DecodedImage(np.full((30, 90, 3), value, np.uint8), width=width, height=30)


def ground(perceiver, cache, *images):
    registry = Registry("perceiver", Perceiver)
    registry.register(perceiver, "test")
    model = ModelBundle(ModelName.parse("m"), "sha256:0", Path(), Path(), ModelConfig(perceivers=("counting",)))
    request = GenerateRequest("m", (Message.of("user", "What is it?", *images),))
    return Grounder(model, registry, cache=cache).ground(request).request.messages[0].text


def test_a_photo_is_looked_at_once_whatever_is_asked_about_it(cache):
    eye = Counting()
    first = ground(eye, cache, photo())
    assert ground(eye, cache, photo()) == first == "photo: cat\nWhat is it?"
    assert eye.looks == 1
    ground(eye, cache, photo(), photo(1), photo())
    assert eye.looks == 2


def test_a_photo_is_looked_at_anew_when_the_perceivers_version_changes(cache):
    ground(Counting(), cache, photo())
    newer = Counting("2")
    ground(newer, cache, photo())
    assert newer.looks == 1


def test_equal_pixels_of_another_original_are_another_photo(cache):
    eye = Counting()
    ground(eye, cache, photo(), photo(width=180))
    assert eye.looks == 2


def test_without_a_cache_every_photo_is_looked_at(cache):
    eye = Counting()
    ground(eye, None, photo(), photo())
    assert eye.looks == 2
