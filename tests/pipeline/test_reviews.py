"""What people said about records stays, whatever runs later."""

import hashlib
from dataclasses import replace

import pytest

from olpipe.generation import Usage
from olpipe.interfaces import RunInfo
from olpipe.pipeline.last_run import remember_run
from olpipe.pipeline.ledger import RECORD, Ledger, TargetState
from olpipe.pipeline.reviews import ReviewCounts
from olpipe.pipeline.selection import Selection
from olpipe.record import Certainty, ImageInfo, Record
from tests.pipeline.conftest import Folder

INFO = ImageInfo(4, 3, 1, "JPEG")
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
ALL = {"title": TEXT, "alt": TEXT, "description": TEXT, "tags": TEXTS}


class Reviewed(Folder):
    """A folder whose photos are described with whatever values a test wants."""

    def __init__(self, root):
        super().__init__(root)
        self.values = {"title": "A cat", "alt": "A cat sleeps.", "tags": ["cat", "lamp"], "tag_scores": [0.9, None]}

    def run(self, key="k1", properties=ALL, **options):
        """Describe what is new. The recipe's schema has these properties."""
        run = RunInfo(self.photos, self.output, {"properties": properties}, "r", key, "m:latest", "sha256:0")
        with Ledger(self.output) as ledger:
            remember_run(ledger, run)
        return self.describe(key=key, **options)

    def _work(self, ledger, image, key):
        sha256 = hashlib.sha256(image.path.read_bytes()).hexdigest()
        if ledger.adopt(image, sha256) is None:
            self.worked.append(image.name)
            record = Record(image.name, sha256, INFO, self.values, "m:latest", "sha256:0", "r", Usage(), False)
            ledger.commit(replace(record, certainty=Certainty.SURE), [image])

    def row(self, name="a.jpg", key="k1"):
        """Return the row of a photo as sinks get it."""
        with Ledger(self.output) as ledger:
            ledger.begin(key, self.targets)
            (row,) = [row for _, row in ledger.rows_after(RECORD, 0) if row["file"] == name]
        return row

    def review(self, what, *more, name="a.jpg", key="k1"):
        """Do something to the record of a photo, as `Reviews` has it: `correct`, `approve` and so on."""
        row = self.row(name, key)
        if what in ("approve", "withdraw"):
            more = (row,)
        with Ledger(self.output) as ledger:
            getattr(ledger.reviews, what)(row["sha256"], *more)

    def count(self, key="k1"):
        with Ledger(self.output) as ledger:
            return ledger.reviews.count(key)


@pytest.fixture
def folder(tmp_path):
    folder = Reviewed(tmp_path)
    folder.put("a.jpg")
    folder.run()
    return folder


def said(row, *names):
    return [row.get(name) for name in names]


def test_a_correction_replaces_what_the_model_wrote_and_nothing_else(folder):
    before = folder.row()
    assert "review" not in before
    folder.review("correct", "title", "My cat")
    after = folder.row()
    assert after == {**before, "title": "My cat", "review": "edited"}
    assert list(after) == [*list(before)[: list(before).index("box_unit")], "review", *list(before)[-6:]]
    folder.review("restore", "title")
    assert folder.row() == before


@pytest.mark.parametrize("change", ["another recipe", "fresh", "renamed", "an equal copy", "changed by a sink"])
def test_a_correction_stays_whatever_changes(folder, change):
    folder.review("correct", "title", "My cat")
    folder.values = {**folder.values, "title": "Another cat", "alt": "Another text."}
    if change == "another recipe":
        assert folder.run("k2") == ["a.jpg"]
        row = folder.row(key="k2")
    elif change == "fresh":
        assert folder.run(selection=Selection(fresh=True)) == ["a.jpg"]
        row = folder.row()
    elif change == "renamed":
        (folder.photos / "a.jpg").rename(folder.photos / "b.jpg")
        folder.run("k2")
        row = folder.row("b.jpg", key="k2")
    elif change == "an equal copy":
        folder.put("copy.jpg", b"a.jpg")
        folder.run("k2")
        row = folder.row("copy.jpg", key="k2")
    else:
        for data in (b"a.jpg and keywords", b"a.jpg and more keywords"):
            folder.put("a.jpg", data)
            with Ledger(folder.output) as ledger:
                ledger.begin("k1", folder.targets)
                ledger.follow(["a.jpg"])
        assert folder.run("k2") == ["a.jpg"]
        row = folder.row(key="k2")
    assert said(row, "title", "alt", "review") == ["My cat", "Another text.", "edited"]


def test_what_is_corrected_after_a_sink_changed_the_photo_counts_for_the_bytes_before(folder):
    folder.put("twin.jpg", b"a.jpg")
    folder.run()
    folder.put("a.jpg", b"a.jpg and keywords")
    with Ledger(folder.output) as ledger:
        ledger.begin("k1", folder.targets)
        ledger.follow(["a.jpg"])
    folder.run("k2")
    folder.review("correct", "title", "My cat", key="k2")
    assert [folder.row(name, "k2")["title"] for name in ("a.jpg", "twin.jpg")] == ["My cat", "My cat"]


def test_a_correction_waits_where_the_recipe_has_no_such_field(folder):
    folder.review("correct", "title", "My cat")
    folder.values = {"alt": "A cat sleeps."}
    folder.run("k2", {"alt": TEXT})
    assert said(folder.row(key="k2"), "title", "alt", "review") == [None, "A cat sleeps.", None]
    assert folder.count("k2") == ReviewCounts(1)
    folder.run("k3", {"title": TEXT})
    assert said(folder.row(key="k3"), "title", "review") == ["My cat", "edited"]


def test_a_correction_stands_where_the_model_left_the_field_out(folder):
    folder.review("correct", "title", "My cat")
    folder.values = {"tags": []}
    folder.run("k2")
    row = folder.row(key="k2")
    assert said(row, "title", "review") == ["My cat", "edited"]
    assert list(row).index("title") < list(row).index("certainty")


@pytest.mark.parametrize("values", [{"title": ["a", "list"]}, {"data": {"title": "Theirs"}}])
def test_a_correction_of_another_kind_waits(folder, values):
    folder.review("correct", "title", "My cat")
    folder.values = values
    folder.run("k2")
    row = folder.row(key="k2")
    assert {key: row[key] for key in values} == values
    assert "review" not in row


def test_scores_follow_their_tags(folder):
    folder.review("correct", "tags", ["sofa", "cat"])
    assert said(folder.row(), "tags", "tag_scores") == [["sofa", "cat"], [None, 0.9]]


def test_an_approval_holds_for_what_was_seen(folder):
    folder.review("approve")
    assert folder.row()["review"] == "approved"
    folder.values = {**folder.values, "tag_scores": [0.8, None]}  # nobody approves scores
    folder.run(selection=Selection(fresh=True))
    assert folder.row()["review"] == "approved"
    folder.values = {**folder.values, "title": "A dog"}
    folder.run("k2")
    assert "review" not in folder.row(key="k2")
    folder.run("k1")
    assert folder.row()["review"] == "approved"
    folder.review("withdraw")
    assert "review" not in folder.row()


def test_a_rejection_holds_whatever_is_written_later(folder):
    folder.review("approve")
    folder.review("reject")
    folder.values = {"title": "A dog"}
    folder.run("k2")
    assert [folder.row(key=key)["review"] for key in ("k1", "k2")] == ["rejected", "rejected"]
    folder.review("approve", key="k2")
    assert [folder.row(key=key)["review"] for key in ("k1", "k2")] == ["approved", "approved"]


def test_reviews_are_counted(folder):
    folder.put("b.jpg")
    folder.put("c.jpg")
    folder.put("d.jpg")
    folder.put("twin.jpg", b"a.jpg")
    folder.run()
    assert folder.count().approved_share is None
    folder.review("approve")
    folder.review("correct", "alt", "", name="b.jpg")
    folder.review("reject", name="c.jpg")
    assert folder.count() == ReviewCounts(5, approved=2, edited=1, rejected=1)
    assert (folder.count().reviewed, folder.count().approved_share) == (4, 0.5)


@pytest.mark.parametrize("what", [("correct", "title", "My cat"), ("approve",), ("reject",)])
def test_targets_that_hold_the_row_start_over_and_keep_their_position(folder, what):
    folder.advance(TargetState(1, 10))
    folder.review(*what)
    assert folder.state() == TargetState(0, 10)
    folder.advance(TargetState(1, 10))
    folder.review(*{"correct": ("restore", "title"), "approve": ("withdraw",), "reject": ("withdraw",)}[what[0]])
    assert folder.state() == TargetState(0, 10)


def test_targets_that_do_not_hold_the_row_go_on(folder):
    folder.advance(TargetState(1, 10))
    folder.put("b.jpg")
    folder.run()
    folder.review("correct", "title", "Mine", name="b.jpg")
    assert folder.state() == TargetState(1, 10)
    folder.values = {"title": "A dog"}
    folder.put("only-in-k2.jpg")
    folder.run("k2")
    folder.review("correct", "title", "Mine", name="only-in-k2.jpg", key="k2")
    assert folder.state() == TargetState(1, 10)


def test_targets_start_over_where_the_prompt_tells_where_a_photo_lies(folder):
    folder.told = lambda path: path.name
    folder.run("k2")
    folder.advance(TargetState(2, 10), key="k2")
    folder.review("correct", "title", "My cat", key="k2")
    assert folder.state(key="k2") == TargetState(0, 10)


def test_a_ledger_without_reviews_of_the_same_version_gets_them(folder):
    with Ledger(folder.output) as ledger:
        for table in ("corrections", "verdicts", "same_photos"):
            ledger.run(f"DROP TABLE {table}")
    folder.review("correct", "title", "My cat")
    assert folder.row()["title"] == "My cat"


def test_a_change_that_fails_in_the_middle_leaves_nothing(folder):
    sha256 = folder.row()["sha256"]
    with Ledger(folder.output) as ledger, pytest.raises(RuntimeError), ledger.transaction():
        ledger.reviews.correct(sha256, "title", "My cat")
        raise RuntimeError
    assert "review" not in folder.row()
