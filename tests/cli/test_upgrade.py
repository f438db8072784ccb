"""Output folders that an earlier version made are gone on with."""

import contextlib
import os
import re
import shutil
import sqlite3
from pathlib import Path

from olpipe.describing.recipe_file import shipped_recipes

VERSION_1 = Path(__file__).parents[1] / "pipeline" / "data" / "version-1"


def test_an_output_folder_of_version_1_goes_on_where_it_was(batch, monkeypatch, tmp_path):
    # The echo backend ships with no release, so its name stands in new keys: what ships is left out of them.
    monkeypatch.setattr("olpipe.describing.recipe.UNNAMED_BACKENDS", frozenset({("echo", "1")}))
    shutil.rmtree(batch.photos)
    shutil.copytree(VERSION_1 / "photos", batch.photos)
    batch.ledger.parent.mkdir(parents=True)
    shutil.copy(VERSION_1 / "ledger.sqlite", batch.ledger)
    for name in ("records.jsonl", "failures.jsonl"):
        shutil.copy(VERSION_1 / name, batch.output / name)
    with contextlib.closing(sqlite3.connect(batch.ledger, isolation_level=None)) as connection:
        for path, modified_ns in connection.execute("SELECT path, modified_ns FROM photos").fetchall():
            here = os.fsencode(batch.photos.parent) + path
            os.utime(here, ns=(modified_ns, modified_ns))
            for place in ("photos", "rows"):
                connection.execute(f"UPDATE {place} SET path = ? WHERE path = ?", (here, path))
    number = (batch.output / "records.jsonl").stat().st_ino
    recipe = tmp_path / "then.toml"  # the shipped recipe as it was then
    text = shipped_recipes()["photo-tags"].read_text(encoding="utf-8")
    recipe.write_text(re.sub(r"minLength = 5\b.*", "minLength = 12", text), encoding="utf-8")

    code, said = batch.run("--recipe", recipe)
    assert code == 3
    assert said.splitlines()[:2] == ["making 2 thumbnails for the page", "4 photos: 3 records (0 new), 1 failed"]
    assert batch.report["tokens"]["prompt_tokens"] == 0
    assert (batch.output / "records.jsonl").read_bytes() == (VERSION_1 / "records.jsonl").read_bytes()
    assert (batch.output / "failures.jsonl").read_bytes() == (VERSION_1 / "failures.jsonl").read_bytes()

    batch.put("new.jpg")
    assert batch.run("--recipe", recipe)[1].startswith("5 photos: 4 records (1 new), 1 failed")
    grown = (batch.output / "records.jsonl").read_bytes()
    assert grown.startswith((VERSION_1 / "records.jsonl").read_bytes())
    assert batch.files == ["a.jpg", "twin.jpg", "sub/b.jpg", "new.jpg"]
    assert (batch.output / "records.jsonl").stat().st_ino == number  # it grew, and was not written again
