"""What people said in a review is in the records of every later batch."""

import json

import pytest

from olpipe.pipeline.ledger import RECORD, Ledger


@pytest.fixture
def review(batch):
    """Return a function that does something to the record of a photo, as a review does that is killed afterwards."""

    def change(what, name, *more):
        with Ledger(batch.output) as ledger:
            key = ledger.value("SELECT recipe_key FROM rows ORDER BY seq DESC LIMIT 1")
            ledger.begin(key, {})
            (row,) = [row for _, row in ledger.rows_after(RECORD, 0) if row["file"] == name]
            getattr(ledger.reviews, what)(row["sha256"], *([row] if what == "approve" else more))

    batch.put("a.jpg", "b.jpg", "c.jpg")
    batch.run()
    return change


def held(batch):
    return {row["file"]: (row["title"], row.get("review")) for row in batch.records}


def test_the_same_command_again_brings_targets_and_page_up_to_date(batch, review):
    titles = {name: title for name, (title, _) in held(batch).items()}
    review("correct", "a.jpg", "title", "Mine")
    review("approve", "b.jpg")
    review("reject", "c.jpg")
    code, said = batch.run()
    assert code == 0
    assert "3 photos: 3 records (0 new)" in said
    assert "3 photos reviewed: 1 approved, 1 edited, 1 rejected" in said
    assert held(batch) == {
        "a.jpg": ("Mine", "edited"), "b.jpg": (titles["b.jpg"], "approved"), "c.jpg": (titles["c.jpg"], "rejected"),
    }  # fmt: skip
    counts = json.loads((batch.output / "run.json").read_bytes())["photos"]
    assert (counts["approved"], counts["edited"], counts["rejected"]) == (1, 1, 1)
    data = "".join(path.read_text("utf-8") for path in (batch.output / "index_files").glob("photos-*.js"))
    assert "Mine" in data and "rejected" in data


def test_another_recipe_and_a_fresh_run_keep_what_people_said(batch, review):
    review("correct", "a.jpg", "title", "Mine")
    review("reject", "c.jpg")
    batch.run("--prompt", "Something else")
    found = held(batch)
    assert (found["a.jpg"], found["c.jpg"][1]) == (("Mine", "edited"), "rejected")
    batch.run("--prompt", "Something else", "--fresh")
    assert held(batch) == found
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    batch.run("--prompt", "Something else")
    assert held(batch)["z.jpg"] == ("Mine", "edited")
