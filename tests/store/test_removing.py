"""Removing models: what others need stays, and everything else goes."""

import hashlib
import os
import time
from dataclasses import replace

import pytest

from olpipe.model import ModelConfig, ModelName
from olpipe.store.leftovers import TEMPORARY_KEPT_S
from olpipe.store.library import Library

ONE, TWO = ModelName.parse("one"), ModelName.parse("me/two:small")


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models", cache=tmp_path / "cache")


def add(library, name, files):
    layers = [replace(library.add_bytes(data), name=file_name) for file_name, data in files.items()]
    library.commit(name, ModelConfig(model_format="gguf"), layers)


def blobs(tmp_path):
    return {path.name for path in (tmp_path / "models" / "blobs").iterdir()}


def blob_name(data):
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def test_removing_a_model_keeps_what_others_need(library, tmp_path):
    add(library, ONE, {"model.gguf": b"shared", "a.json": b"1"})
    add(library, TWO, {"model.gguf": b"shared", "a.json": b"2"})
    library.remove(ONE)
    assert blob_name(b"shared") in blobs(tmp_path)
    assert blob_name(b"1") not in blobs(tmp_path)
    assert (library.get(TWO).path / "a.json").read_bytes() == b"2"


def test_a_blob_that_two_models_shared_goes_with_the_second_whichever_came_first(library, tmp_path):
    add(library, ONE, {"model.gguf": b"shared"})
    add(library, TWO, {"model.gguf": b"shared", "a.json": b"2"})
    then = time.time() - TEMPORARY_KEPT_S - 9
    folder = tmp_path / "models"
    manifests = sorted(path for path in (folder / "manifests").rglob("*") if path.is_file())
    for number, at in enumerate((then, then + 5)):
        os.utime(manifests[number], (at, at))
    for blob in (folder / "blobs").iterdir():
        os.utime(blob, (then + 4, then + 4))  # the second pull has claimed the shared one again
    library.remove(TWO)
    assert blob_name(b"shared") in blobs(tmp_path)
    library.remove(ONE)
    assert blobs(tmp_path) == set()


def test_where_blobs_are_kept_a_removal_takes_only_the_name(tmp_path):
    library = Library(tmp_path / "models", cache=tmp_path / "cache", keeps_blobs=True)
    add(library, ONE, {"model.gguf": b"weights"})
    library.remove(ONE)
    for path in (tmp_path / "models" / "blobs").iterdir():
        os.utime(path, (0, 0))
    library.clean()
    assert blob_name(b"weights") in blobs(tmp_path)
    assert library.names() == []
