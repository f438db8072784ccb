"""The store: its folder, whether it can be written, and what downloads have left."""

import os
import shutil
import sys
from collections import namedtuple
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from olpipe.checkup import shelf
from olpipe.checkup.report import Section
from olpipe.cli import words
from olpipe.model import ModelConfig, ModelName
from olpipe.settings import Settings
from olpipe.store.library import Library

Usage = namedtuple("Usage", "total used free")


def look(home, models=None):
    settings = Settings(home=home, models=models)
    section = Section("store", "Store")
    shelf.check_store(section, settings, Library(settings.models_folder, cache=home / "cache"))
    return section


def rows_of(section):
    return {row.name: (row.state, row.text) for row in section.rows}


def put_model(library, name="one", data=b"weights"):
    library.commit(ModelName.parse(name), ModelConfig(), [replace(library.add_bytes(data), name="one.bin")])


def test_an_empty_store_is_described_and_not_made(isolated_home):
    section = look(isolated_home)
    assert (section.facts["models"], section.facts["size"], section.facts["writable"]) == (0, 0, True)
    assert section.facts["free"] > 0
    assert not isolated_home.exists()
    assert rows_of(section)["unfinished"] == ("ok", "no downloads")


def test_models_and_their_size_are_counted(isolated_home, library):
    put_model(library)
    section = look(isolated_home)
    files = [path for path in (isolated_home / "models").rglob("*") if path.is_file()]
    assert section.facts["size"] == sum(path.stat().st_size for path in files) > 7
    assert rows_of(section)["folder"][1].startswith(f"{isolated_home / 'models'}, 1 model, ")


def test_a_file_in_the_way_of_the_store_is_told(isolated_home, tmp_path):
    (tmp_path / "file").write_text("")
    section = look(isolated_home, models=tmp_path / "file" / "models")
    state, text = rows_of(section)["writing"]
    assert (state, section.facts["writable"]) == ("fail", False)
    assert text.endswith("cannot be written: Not a directory")
    assert section.steps[0].command == "olpipe env"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a folder that even root may not write to")
def test_a_store_that_is_read_only_is_told(isolated_home):
    assert rows_of(look(isolated_home, models=Path("/sys/models")))["writing"][0] == "fail"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_is_read_only_can_still_be_used(isolated_home, library):
    put_model(library)
    (isolated_home / "models").chmod(0o500)
    try:
        assert rows_of(look(isolated_home))["writing"][0] == "note"
    finally:
        (isolated_home / "models").chmod(0o700)


@pytest.mark.skipif(not hasattr(os.stat_result, "st_blocks"), reason="the system does not tell what a file takes")
def test_a_download_that_was_interrupted_is_told_with_what_it_holds(isolated_home, library):
    size, came = 50 << 20, b"x" * (1 << 20)
    with library.receiving(f"sha256:{sha256(b'whole').hexdigest()}", size, lambda _: None) as blob:
        blob.write(0, came)
    section = look(isolated_home)
    (found,) = section.facts["unfinished"]
    assert len(came) <= found["size"] < 2 * len(came)  # the file is as long as the whole blob
    state, text = rows_of(section)["unfinished"]
    assert state == "note"
    assert text.startswith(
        f"1 download holds {words.size(found['size'])}, the last one from just now: pull the model again"
    )


def test_several_downloads_are_counted_and_the_last_one_dated(isolated_home):
    for number, age_s in enumerate((3 * 86400, 2 * 3600)):
        path = isolated_home / f"models/incoming/pull-{number}/data"
        path.parent.mkdir(parents=True)
        path.write_bytes(os.urandom(10000))
        changed_s = path.stat().st_mtime - age_s
        os.utime(path, (changed_s, changed_s))
    assert "2 downloads hold" in (text := rows_of(look(isolated_home))["unfinished"][1])
    assert "the last one from 2 hours ago" in text


def test_a_disk_that_is_nearly_full_is_told_with_the_largest_model(isolated_home, library, monkeypatch):
    put_model(library, "small", b"x")
    put_model(library, "large", b"x" * 9999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 9 * 10**8, 10**8))
    section = look(isolated_home)
    assert rows_of(section)["free space"] == ("note", "100 MB: too little for most models")
    assert section.steps[0].command == "olpipe rm large:latest"


def test_a_disk_that_is_nearly_full_without_models_is_told(isolated_home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 9 * 10**8, 10**8))
    assert "OLLAMA_MODELS" in look(isolated_home).steps[0].reason
