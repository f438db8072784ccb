"""What a run finds done, renamed, changed and left to do, over a real ledger."""

import os
import shutil

import pytest

from olpipe.errors import UsageError
from olpipe.pipeline.ledger import FAILURE, Ledger, TargetState
from olpipe.pipeline.selection import Selection
from olpipe.record import Failure, FailureKind


def test_everything_is_done_once(folder):
    folder.put("b.jpg")
    folder.put("a.jpg")
    assert folder.describe() == ["a.jpg", "b.jpg"]
    assert folder.describe() == []
    assert (folder.found.records, folder.found.failures) == (2, 0)
    assert folder.rows() == ["a.jpg", "b.jpg"]


def test_photos_that_come_or_go_do_not_disturb_the_others(folder):
    for name in ("b.jpg", "c.jpg", "d.jpg"):
        folder.put(name)
    folder.describe()
    folder.put("a.jpg")
    (folder.photos / "c.jpg").unlink()
    assert folder.describe() == ["a.jpg"]
    assert folder.rows() == ["b.jpg", "c.jpg", "d.jpg", "a.jpg"]


def test_a_limit_takes_the_first_photos_and_the_next_run_the_rest(folder):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        folder.put(name)
    assert folder.describe(selection=Selection(limit=2)) == ["a.jpg", "b.jpg"]
    assert folder.describe(selection=Selection(limit=2)) == []
    assert folder.describe() == ["c.jpg"]


def test_a_renamed_photo_costs_nothing_and_its_row_follows(folder):
    folder.put("a.jpg")
    folder.put("b.jpg")
    folder.describe()
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    assert folder.describe() == []
    assert folder.found.renamed == 1
    assert sorted(folder.rows()) == ["b.jpg", "z.jpg"]


def test_a_row_that_was_written_makes_its_target_start_over_when_the_photo_is_renamed(folder):
    folder.put("a.jpg")
    folder.describe()
    folder.advance(TargetState(1, 500))
    folder.advance(TargetState(0, 77), target=folder.failure_target)
    (folder.photos / "a.jpg").rename(folder.photos / "z.jpg")
    folder.describe()
    assert folder.state() == TargetState(0, 500)
    assert folder.state(folder.failure_target) == TargetState(0, 77)


def test_a_renamed_folder_of_equal_and_different_photos_costs_nothing(folder):
    for name, data in (("x/a.jpg", b"one"), ("x/b.jpg", b"one"), ("x/c.jpg", b"two")):
        folder.put(name, data)
    folder.describe()
    (folder.photos / "x").rename(folder.photos / "y")
    assert folder.describe() == []
    assert sorted(folder.rows()) == ["y/a.jpg", "y/b.jpg", "y/c.jpg"]


def test_moving_the_whole_folder_keeps_every_name_and_the_targets_as_they_are(folder, tmp_path):
    folder.put("a.jpg")
    folder.put("b.jpg")
    folder.describe()
    folder.advance(TargetState(2, 500))
    folder.photos = folder.photos.rename(tmp_path / "elsewhere")
    assert folder.describe() == []
    assert folder.found.renamed == 0
    assert folder.state() == TargetState(2, 500)


def test_a_photo_renamed_onto_another_takes_its_place(folder):
    folder.put("a.jpg", b"one")
    folder.put("b.jpg", b"twotwo")
    folder.describe()
    (folder.photos / "a.jpg").replace(folder.photos / "b.jpg")
    assert folder.describe() == []
    assert folder.rows() == ["b.jpg"]


def test_photos_that_swap_names_swap_rows_without_work(folder):
    folder.put("a.jpg", b"one")
    folder.put("b.jpg", b"twotwo")
    folder.describe()
    (folder.photos / "a.jpg").rename(folder.photos / "tmp.jpg")
    (folder.photos / "b.jpg").rename(folder.photos / "a.jpg")
    (folder.photos / "tmp.jpg").rename(folder.photos / "b.jpg")
    assert folder.describe() == []
    with Ledger(folder.output) as ledger:
        ledger.begin("k1", {})
        sizes = dict(ledger.run("SELECT name, size_bytes FROM photos").fetchall())
    assert sizes == {"a.jpg": 6, "b.jpg": 3}
    assert sorted(folder.rows()) == ["a.jpg", "b.jpg"]


def test_a_changed_photo_is_done_again_and_its_old_row_goes(folder):
    folder.put("a.jpg")
    folder.put("b.jpg")
    folder.describe()
    folder.advance(TargetState(2, 500))
    folder.put("a.jpg", b"edited")
    assert folder.describe() == ["a.jpg"]
    assert folder.rows() == ["b.jpg", "a.jpg"]
    assert folder.state() == TargetState(0, 500)


def test_a_photo_touched_but_not_changed_is_not_done_again(folder):
    folder.put("a.jpg")
    folder.describe()
    os.utime(folder.photos / "a.jpg", ns=(1, 1))
    assert folder.describe() == []
    assert folder.rows() == ["a.jpg"]


def test_another_recipe_is_worked_under_its_own_key_and_the_first_comes_back_without_work(folder):
    folder.put("a.jpg")
    folder.put("b.jpg")
    assert folder.describe(key="k1") == ["a.jpg", "b.jpg"]
    folder.advance(TargetState(2, 500))
    assert folder.describe(key="k2") == ["a.jpg", "b.jpg"]
    assert folder.others == 2
    assert folder.state(key="k2") == TargetState(0, 500)
    assert folder.state() == TargetState(2, 500)  # nothing was written yet, so the target holds what it held
    assert folder.describe(key="k1") == []
    assert (folder.rows(key="k1"), folder.rows(key="k2")) == (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"])


def test_failures_are_left_alone_until_they_are_asked_for_or_their_file_changes(folder):
    folder.put("a.jpg", b"bad one")
    folder.put("b.jpg", b"bad two")
    assert folder.describe() == ["a.jpg", "b.jpg"]
    assert folder.describe() == []
    assert folder.found.failures == 2
    folder.put("b.jpg", b"mended")
    assert folder.describe() == ["b.jpg"]
    assert folder.describe(selection=Selection(retry=frozenset(FailureKind))) == ["a.jpg"]
    assert (folder.rows(), folder.rows(FAILURE)) == (["b.jpg"], ["a.jpg"])


def test_retrying_stays_within_the_limit(folder):
    folder.put("a.jpg", b"bad one")
    folder.put("b.jpg", b"bad two")
    folder.describe()
    assert folder.describe(selection=Selection(limit=1, retry=frozenset(FailureKind))) == ["a.jpg"]
    assert sorted(folder.rows(FAILURE)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(("sha256", "kind"), [(None, FailureKind.UNREADABLE), ("f" * 64, FailureKind.UNSUPPORTED)])
def test_files_that_could_not_be_opened_and_unsupported_formats_are_always_tried_again(folder, sha256, kind):
    folder.put("a.jpg")
    with Ledger(folder.output) as ledger:
        ledger.begin("k1", {})
        ledger.commit(Failure("a.jpg", sha256, kind, "no"), folder.images())
    assert folder.describe() == ["a.jpg"]
    assert (folder.rows(), folder.rows(FAILURE)) == (["a.jpg"], [])


def test_two_folders_given_one_after_the_other_keep_each_others_rows(folder):
    folder.put("x/a.jpg")
    folder.put("y/b.jpg")
    folder.describe(folder.photos / "x")
    folder.describe(folder.photos / "y")
    assert folder.rows() == ["a.jpg", "b.jpg"]
    assert folder.describe(folder.photos / "x", folder.photos / "y") == []
    assert sorted(folder.rows()) == ["x/a.jpg", "y/b.jpg"]


def test_a_name_that_belongs_to_another_photo_is_refused_before_anything_changes(folder):
    folder.put("x/a.jpg")
    folder.put("y/a.jpg")
    folder.describe(folder.photos / "x")
    with pytest.raises(UsageError) as caught:
        folder.describe(folder.photos / "y")
    taken = f"'{folder.photos}/x/a.jpg'"
    assert caught.value.message == f"`{folder.output}` already has a row `a.jpg`, for {taken}"
    assert caught.value.hint == "give all folders in one command, or each its own output with `-o`"
    assert folder.rows() == ["a.jpg"]


def test_a_name_is_free_again_when_its_photo_is_gone(folder):
    folder.put("x/a.jpg", b"one")
    folder.put("y/a.jpg", b"other")
    folder.describe(folder.photos / "x")
    shutil.rmtree(folder.photos / "x")
    assert folder.describe(folder.photos / "y") == ["a.jpg"]
    assert folder.rows() == ["a.jpg"]


def test_the_bytes_of_a_photo_that_comes_back_are_not_worked_again(folder):
    folder.put("a.jpg", b"one")
    folder.describe()
    folder.put("a.jpg", b"other")
    folder.describe()
    folder.put("a.jpg", b"one")
    assert folder.describe() == []
    assert folder.rows() == ["a.jpg"]
