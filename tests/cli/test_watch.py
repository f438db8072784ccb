"""`olpipe watch`: photos that arrive, change and go while it runs, and how it ends."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from olpipe.cli.main import main
from olpipe.pipeline.ledger import Ledger
from olpipe.testing.images import photo

if sys.platform == "win32":
    pytest.skip("signals and processes are POSIX here", allow_module_level=True)

import resource

LONGEST_S = 90


def until(true, why=lambda: ""):
    """Wait until something is true."""
    end = time.monotonic() + LONGEST_S
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.02)


class Watching:
    """A watch in a process of its own. Use it as a context manager."""

    def __init__(self, batch, *more, folders=None, settle=0.2, environment=None, **options):
        self.batch = batch
        self._log = batch.output.with_suffix(".log")
        given = [batch.photos] if folders is None else folders
        command = [sys.executable, "-P", "-m", "olpipe", "watch", *map(str, given), "-o", str(batch.output)]
        command += ["--model", "echo", "--settle", str(settle), *map(str, more)]
        with self._log.open("ab") as log:
            environment = {**os.environ, **(environment or {})}
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment, **options)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    @property
    def said(self):
        return self._log.read_text(encoding="utf-8")

    def until(self, true):
        until(lambda: self.process.poll() is not None or true(), lambda: self.said)
        assert true(), self.said

    def until_rows(self, *names):
        """Wait until the records are those of these photos, and the group is at its end."""
        self.until(lambda: rows(self.batch) == sorted(names) and is_free(self.batch))

    def end(self, number=signal.SIGTERM):
        """End it, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(LONGEST_S)


def rows(batch, name="records.jsonl"):
    """Return the sorted names in a file of rows, as far as it has been written."""
    try:
        lines = (batch.output / name).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return sorted(json.loads(line)["file"] for line in lines)


def is_free(batch):
    """Say whether nobody has the ledger."""
    if not batch.ledger.exists():
        return False
    with contextlib.closing(sqlite3.connect(batch.ledger, timeout=0)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
    return True


def test_photos_that_are_there_and_photos_that_arrive_are_described(batch):
    batch.put("a.jpg")
    with Watching(batch) as watch:
        watch.until_rows("a.jpg")
        batch.put("trip/b.jpg", "c.jpg.part")
        watch.until_rows("a.jpg", "trip/b.jpg")
        (batch.photos / "c.jpg.part").rename(batch.photos / "c.jpg")
        watch.until_rows("a.jpg", "c.jpg", "trip/b.jpg")
        assert watch.end() == 0


def test_photos_that_look_the_same_share_a_record_whenever_they_arrive(batch):
    batch.put("a.jpg")
    with Watching(batch, "--near", "2", "--sandbox") as watch:
        watch.until_rows("a.jpg")
        batch.put("b.jpg", data=photo(mark="a.jpg") + b"more")
        watch.until_rows("a.jpg", "b.jpg")
        assert watch.end() == 0
    assert [record.get("copied_from") for record in batch.records] == [None, "a.jpg"]


def test_a_photo_that_is_copied_slowly_is_described_once_it_is_whole(batch):
    whole = photo() + b"slow"
    with Watching(batch) as watch:
        watch.until(lambda: batch.ledger.exists())
        with (batch.photos / "slow.jpg").open("wb") as file:
            file.write(whole[:40])
            file.flush()
            for name in ("a.jpg", "b.jpg"):  # so long that a file that nobody writes to would have settled
                batch.put(name)
                watch.until(lambda name=name: name in rows(batch))
            assert rows(batch) == ["a.jpg", "b.jpg"] or sys.platform != "linux"
            file.write(whole[40:])
        watch.until_rows("a.jpg", "b.jpg", "slow.jpg")
        assert watch.end() == 0
    assert rows(batch, "failures.jsonl") == []


def test_a_changed_photo_gets_a_new_record_and_the_others_keep_theirs(batch):
    batch.put("changed.jpg", "renamed.jpg", "removed.jpg")
    with Watching(batch) as watch:
        watch.until_rows("changed.jpg", "removed.jpg", "renamed.jpg")
        before = {record["file"]: record for record in batch.records}
        (batch.photos / "renamed.jpg").rename(batch.photos / "new name.jpg")
        (batch.photos / "removed.jpg").unlink()
        batch.put("changed.jpg", data=photo() + b"other bytes")
        watch.until_rows("changed.jpg", "new name.jpg", "removed.jpg")
        watch.until(lambda: batch.report["photos"]["left"] == 0)
        after = {record["file"]: record for record in batch.records}
        assert watch.end() == 0
    assert after["changed.jpg"]["sha256"] != before["changed.jpg"]["sha256"]
    assert after["removed.jpg"] == before["removed.jpg"]
    assert after["new name.jpg"] == before["renamed.jpg"] | {"file": "new name.jpg"}


def test_a_photo_that_fails_is_told_once_and_described_when_it_is_mended(batch):
    batch.put("bad.jpg", data=b"\xff\xd8 no photo")
    batch.put("camera.cr3", data=b"raw")
    with Watching(batch) as watch:
        watch.until(lambda: rows(batch, "failures.jsonl") == ["bad.jpg", "camera.cr3"] and is_free(batch))
        batch.put("bad.jpg", data=photo())
        watch.until_rows("bad.jpg")
        assert watch.end(signal.SIGINT) == 0
    assert rows(batch, "failures.jsonl") == ["camera.cr3"]
    assert watch.said.count("failed: see") == 1
    assert watch.said.endswith(f"ended: 1 described, 2 failed\nrecords are in {batch.output}\n")


def test_the_signal_that_ends_a_service_lets_the_photos_in_work_finish(batch):
    batch.model(delay_s=0.05)
    names = [f"{number}.jpg" for number in range(40)]
    batch.put(*names)
    with Watching(batch) as watch:
        watch.until(lambda: rows(batch))
        assert watch.end() == 0
    assert "finishing the photos in flight" in watch.said
    assert 0 < len(rows(batch)) < len(names)
    assert batch.report["status"] == "interrupted"
    assert batch.report["photos"]["records"] == len(rows(batch))


def test_a_second_interrupt_ends_at_once(batch):
    batch.model(delay_s=60)
    batch.put("a.jpg")
    with Watching(batch) as watch:
        watch.until(lambda: (batch.output / "records.jsonl.new").exists())
        watch.process.send_signal(signal.SIGINT)
        watch.until(lambda: "finishing" in watch.said)
        assert watch.end(signal.SIGINT) == -signal.SIGINT


def test_after_a_kill_every_photo_is_in_every_sink_exactly_once(batch):
    batch.model(delay_s=0.02)
    names = sorted(f"{number:02}.jpg" for number in range(12))
    sinks = ("--sink", "jsonl", "--sink", "sqlite")
    batch.put(*names[:9])
    with Watching(batch, *sinks) as watch:
        watch.until(lambda: len(rows(batch)) >= 3)  # it is killed here
    batch.put(*names[9:])
    with Watching(batch, *sinks) as watch:
        watch.until_rows(*names)
        assert watch.end() == 0
    with contextlib.closing(sqlite3.connect(batch.output / "records.sqlite")) as connection:
        assert [name for (name,) in connection.execute("SELECT file FROM records ORDER BY file")] == names


def test_between_groups_other_commands_can_use_the_output_and_the_watch_waits_for_them(batch, capsys):
    batch.put("a.jpg")
    with Watching(batch) as watch:
        watch.until_rows("a.jpg")
        with pytest.raises(SystemExit) as ended:
            main(["export", str(batch.output), "--sink", "csv"])
        assert ended.value.code == 0
        with Ledger(batch.output):
            batch.put("b.jpg")
            watch.until(lambda: "another command is at work" in watch.said)
        watch.until_rows("a.jpg", "b.jpg")
        with Watching(batch) as second:
            assert second.process.wait(LONGEST_S) == 4
        assert f"error: another `olpipe watch` writes to `{batch.output}`\n" in second.said
        assert watch.end() == 0
    assert watch.said.count("another command is at work") == 1


def test_a_folder_that_is_away_for_a_while_is_waited_for(batch):
    other, away = batch.photos.with_name("other"), batch.photos.with_name("away")
    other.mkdir()
    batch.put("a.jpg")
    with Watching(batch, folders=[batch.photos, other]) as watch:
        watch.until_rows("photos/a.jpg")
        batch.photos.rename(away)
        watch.until(lambda: f"`{batch.photos}` is not there: waiting" in watch.said)
        (other / "b.jpg").write_bytes(photo() + b"b")
        watch.until_rows("other/b.jpg", "photos/a.jpg")
        away.rename(batch.photos)
        batch.put("c.jpg")
        watch.until_rows("other/b.jpg", "photos/a.jpg", "photos/c.jpg")
        assert f"`{batch.photos}` is there again" in watch.said
        assert watch.end() == 0
    assert rows(batch, "failures.jsonl") == []


def test_an_output_folder_that_is_away_is_waited_for_and_not_begun_anew(batch):
    away = batch.output.with_name("away")
    batch.put("a.jpg")
    with Watching(batch) as watch:
        watch.until_rows("a.jpg")
        batch.output.rename(away)
        batch.put("b.jpg")
        watch.until(lambda: f"`{batch.output}` is not there: waiting" in watch.said)
        assert not batch.output.exists()
        away.rename(batch.output)
        watch.until_rows("a.jpg", "b.jpg")


def test_a_backend_that_dies_ends_the_watch_with_the_exit_code_of_the_machine(batch):
    batch.model(crash_on="48x32")
    batch.put("a.jpg")
    two_words = {"type": "object", "properties": {"text": {"const": "two words"}}, "required": ["text"]}
    with Watching(batch, "--schema", json.dumps(two_words)) as watch:
        assert watch.process.wait(LONGEST_S) == 4
    assert watch.said.count("error: ") == 1


@pytest.mark.usefixtures("unmeasured")
def test_a_disk_that_takes_no_more_ends_the_watch_with_the_exit_code_of_the_machine(batch):
    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (130_000, 130_000))

    batch.put(*(f"{number:02}.jpg" for number in range(24)))
    with Watching(batch, preexec_fn=small_files_only) as watch:
        assert watch.process.wait(LONGEST_S) == 4
    assert watch.said.count("error: ") == 1
    assert f"`{batch.output}`" in watch.said


def test_the_model_makes_room_between_photos_and_comes_back(batch):
    import psutil

    batch.put("a.jpg")
    with Watching(batch, environment={"OLLAMA_KEEP_ALIVE": "0"}) as watch:
        watch.until_rows("a.jpg")
        watch.until(lambda: not psutil.Process(watch.process.pid).children())
        batch.put("b.jpg")
        watch.until_rows("a.jpg", "b.jpg")
        assert watch.end() == 0


def test_a_burst_of_a_thousand_files_is_described_to_the_last(batch):
    with Watching(batch, "--no-page") as watch:
        watch.until(lambda: batch.ledger.exists())
        names = sorted(f"{number:03}.jpg" for number in range(1000))
        for name in names:
            shutil.copyfile(photo_file(batch), batch.photos / name)
        watch.until_rows(*names)
        assert watch.end() == 0


def photo_file(batch):
    """Return a file with a photo outside of what is watched."""
    path = batch.photos.with_name("photo.bin")
    if not path.exists():
        path.write_bytes(photo())
    return path


def test_only_folders_that_are_there_can_be_watched(batch, capsys):
    batch.put("a.jpg")
    for folder, what in ((batch.photos / "a.jpg", "is no folder"), (batch.photos / "b", "is not there")):
        with pytest.raises(SystemExit) as ended:
            main(["watch", str(folder), "-o", str(batch.output)])
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"error: `{folder}` {what}\n")


def test_a_terminal_shows_one_line_and_control_c_ends_the_watch_well(batch):
    pexpect = pytest.importorskip("pexpect")
    batch.put("a.jpg")
    arguments = ["-P", "-m", "olpipe", "watch", str(batch.photos), "-o", str(batch.output)]
    child = pexpect.spawn(
        sys.executable,
        [*arguments, "--model", "echo", "--settle", "0.2"],
        env={**os.environ, "TERM": "xterm"},
        dimensions=(24, 100),
        encoding="utf-8",
        timeout=LONGEST_S,
    )
    child.expect_exact("\rwatching 1 folder: 1 described, 0 failed, waiting")
    child.sendintr()
    child.expect_exact("ended: 1 described, 0 failed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
