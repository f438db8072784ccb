"""The same command again: after a kill at any point, an interrupt, a full disk, a rename, a changed recipe."""

import contextlib
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from olpipe.testing.images import photo
from olpipe.testing.install import install_plugin

if sys.platform == "win32":
    pytest.skip("signals, terminals and limits are POSIX here", allow_module_level=True)

import fcntl
import pty
import resource
import termios

NAMES = [f"{number:02}.jpg" for number in range(24)]

# An installed plugin that ends its process, as `kill -9` does, when the pipeline does something for the n-th time
DEADLY = """
import os, signal
from olpipe.default_plugins.sinks import jsonl
from olpipe.pipeline import ledger

left = int(os.environ.get("DIE_AT", "0"))

def deadly(act):
    def acting(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*arguments, **options)
    return acting

for owner, name in ((ledger.Ledger, "run"), (jsonl.JsonlSink, "write"), (jsonl.JsonlSink, "flush"),
                    (jsonl.JsonlSink, "recover"), (os, "replace"), (os, "fsync")):
    setattr(owner, name, deadly(getattr(owner, name)))
"""


def committed(batch):
    """Return how many outcomes the ledger holds, read as a bystander would after the run's death."""
    if not batch.ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(batch.ledger)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM outcomes").fetchone()[0]
        except sqlite3.OperationalError:  # killed before there were tables
            return 0


def torn_lines(batch):
    path = batch.output / "records.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@pytest.mark.slow
def test_killed_at_any_step_every_photo_ends_up_exactly_once(batch, plugin_folder):
    (plugin_folder / "deadly.py").write_text(DEADLY)
    install_plugin(plugin_folder, "deadly", "deadly")
    batch.put(*NAMES[:8])
    before, deaths = 0, 0
    for step in (*range(1, 60, 7), *range(60, 160, 12)):
        with batch.start(environment={"DIE_AT": str(step)}, stderr=subprocess.DEVNULL) as process:
            code = process.wait()
        deaths += code == -signal.SIGKILL
        lines = torn_lines(batch)
        assert len(lines) == len(set(lines))
        assert committed(batch) >= before
        before = committed(batch)
        if before == 8:  # all is done: let later steps kill a run that starts from nothing
            shutil.rmtree(batch.output)
            before = 0
    assert deaths >= 10
    assert batch.run()[0] == 0
    assert batch.files == NAMES[:8]
    assert batch.report["photos"]["records_before"] == before


def test_killed_at_random_moments_nothing_committed_is_done_again(batch):
    batch.model(delay_s=0.02)
    batch.put(*NAMES)
    moments = random.Random(5)
    for _ in range(5):
        with batch.start(stderr=subprocess.DEVNULL) as process:
            time.sleep(moments.uniform(0.2, 1.1))
            process.kill()
        lines = torn_lines(batch)
        assert len(lines) == len(set(lines))
    before = committed(batch)
    assert batch.run()[0] == 0
    assert sorted(batch.files) == NAMES
    assert batch.report["photos"]["records_before"] == before
    assert batch.report["photos"]["records"] == len(NAMES) - before


def test_a_torn_last_line_is_cut_and_written_again(batch):
    batch.put("a.jpg")
    batch.run()
    whole = (batch.output / "records.jsonl").read_bytes()
    with (batch.output / "records.jsonl").open("ab") as file:
        file.write(b'{"file":"b.jpg","sha')
    assert batch.run()[0] == 0
    assert (batch.output / "records.jsonl").read_bytes() == whole


def test_a_second_run_on_the_same_output_is_one_line(batch):
    batch.model(delay_s=5)
    batch.put("a.jpg")
    with batch.start(stderr=subprocess.DEVNULL) as first:
        while not (batch.output / "records.jsonl.new").exists():
            assert first.poll() is None
            time.sleep(0.01)
        code, said = batch.run()
        first.kill()
    assert (code, said) == (
        4,
        f"error: another run is writing to `{batch.output}`\n"
        "hint: wait until it ends, or give another folder with `-o`\n",
    )


def test_a_renamed_photo_costs_nothing_and_its_record_follows(batch):
    batch.put("a.jpg", "b.jpg")
    batch.run()
    (batch.photos / "a.jpg").rename(batch.photos / "z.jpg")
    code, said = batch.run()
    assert (code, said.splitlines()[0]) == (0, "2 photos: 2 records (0 new), 1 renamed")
    assert sorted(batch.files) == ["b.jpg", "z.jpg"]
    assert batch.report["tokens"]["prompt_tokens"] == 0


def test_a_changed_prompt_describes_all_again_and_going_back_costs_nothing(batch):
    batch.put("a.jpg", "b.jpg")
    batch.run()
    first = batch.records
    code, said = batch.run("--prompt", "Say it otherwise, please, and at some length.")
    assert code == 0
    assert said.startswith(
        f"the recipe or the model changed: `{batch.output}` held 2 records of another; they stay in its ledger and"
        " come back without work when that is run again\n"
    )
    assert batch.report["photos"]["records"] == 2
    assert batch.records[0]["usage"] != first[0]["usage"]
    batch.run()
    assert batch.report["tokens"]["prompt_tokens"] == 0
    assert batch.records == first


def test_another_model_describes_all_again(batch):
    batch.put("a.jpg")
    batch.run()
    digest = batch.records[0]["model_digest"]
    batch.model(slots=2)
    assert batch.run()[0] == 0
    assert batch.files == ["a.jpg"]
    assert batch.records[0]["model_digest"] != digest


def test_photos_are_added_one_folder_after_the_other(batch):
    batch.put("x/a.jpg", "y/b.jpg")
    batch.run(inputs=[batch.photos / "x"])
    batch.run(inputs=[batch.photos / "y"])
    assert batch.files == ["a.jpg", "b.jpg"]


def test_failures_are_tried_again_when_asked_for(batch):
    batch.put("a.jpg", data=b"junk")
    batch.put("b.jpg")
    assert batch.run()[0] == 3
    code, said = batch.run()
    assert code == 3
    assert said.splitlines()[-1] == "hint: `--retry-failed` tries again what failed before"
    code, said = batch.run("--retry-failed")
    assert (code, said.splitlines()[0]) == (3, "2 photos: 1 record (0 new), 1 failed")
    batch.put("a.jpg")
    assert batch.run()[0] == 0
    assert (sorted(batch.files), batch.failures) == (["a.jpg", "b.jpg"], [])


def test_a_format_whose_reader_is_installed_later_needs_no_option(batch, monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        batch.put("a.heic", data=b"\x00\x00\x00\x18ftypheic" + bytes(80))
        assert batch.run()[0] == 3
    pytest.importorskip("pillow_heif", reason="the extra `heif` is not installed")
    assert batch.run()[0] == 3
    assert [row["kind"] for row in batch.failures] == ["unreadable"]


def test_a_limit_takes_the_first_photos_and_a_larger_one_goes_on(batch):
    batch.put(*NAMES[:6])
    assert batch.run("--limit", 2)[1].startswith("2 photos: 2 records\n")
    assert batch.run("--limit", 4)[1].startswith("4 photos: 4 records (2 new)\n")
    assert batch.files == NAMES[:4]


@pytest.mark.usefixtures("unmeasured")
def test_a_file_system_that_takes_no_more_stops_the_run_and_the_next_goes_on(batch):
    batch.put(*NAMES)

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (165_000, 165_000))

    with batch.start(preexec_fn=small_files_only, stderr=subprocess.PIPE) as process:
        said = process.communicate()[1].decode()
    assert process.returncode == 4
    assert said.startswith("error: ")
    assert f"`{batch.output}`" in said
    assert len(said.splitlines()) <= 2
    before = committed(batch)
    assert 0 < before < len(NAMES)
    assert batch.run()[0] == 0
    assert batch.files == NAMES
    assert batch.report["photos"]["records_before"] == before


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 300 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.usefixtures("unmeasured")
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(batch, small_disk):
    batch.put(*NAMES)
    batch.output = small_disk / "out"
    code, said = batch.run()
    assert (code, said) == (
        4,
        f"error: no space left to write `{batch.output}`\n"
        "hint: free some space, then run the same command again: what is done is kept\n",
    )
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert batch.run()[0] == 0
    assert batch.files == NAMES


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, batch, *more):
        self._master, slave = pty.openpty()
        self.process = batch.start(
            *more,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.said = b""

    def read_until(self, text):
        """Read until the terminal shows a text, or to the end without one."""
        while text is None or text not in self.said:
            assert select.select([self._master], [], [], 120)[0], f"{text!r} does not come: {self.said!r}"
            try:
                more = os.read(self._master, 4096)
            except OSError:  # what Linux says when the other end is closed
                more = b""
            if not more:
                assert text is None, f"{text!r} never came: {self.said!r}"
                return
            self.said += more

    def interrupt(self):
        os.write(self._master, b"\x03")

    def close(self):
        os.close(self._master)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(batch):
    opened = []

    def open_terminal(*more):
        opened.append(Terminal(batch, *more))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


def test_ctrl_c_finishes_what_is_in_flight_and_says_how_to_go_on(batch, terminal):
    batch.model(delay_s=0.1)
    batch.put(*NAMES)
    screen = terminal()
    screen.read_until(b"/s  ")  # the speed is known once a photo is done
    screen.interrupt()
    screen.read_until(None)
    assert screen.process.wait() == 130
    said = screen.said.decode()
    assert "finishing the photos in flight; press Ctrl-C again to quit at once" in said
    assert "hint: run the same command again to go on" in said
    assert batch.report["status"] == "interrupted"
    done = len(batch.records)
    assert 1 <= done < 24
    assert f"interrupted with {24 - done} photos left" in said
    assert committed(batch) == done


def test_a_second_ctrl_c_quits_at_once_and_loses_nothing_that_is_done(batch, terminal):
    batch.model(delay_s=0.1, hang_on="50x40")
    batch.put(*NAMES[:3])
    batch.put("z.jpg", data=photo(50, 40))  # begun when another is done, and never finished
    two_words = ("--schema", '{"type": "object", "properties": {"text": {"const": "two words"}}}')
    screen = terminal(*two_words)
    screen.read_until(b"/s  ")  # the speed is known once a photo is done
    screen.interrupt()
    screen.read_until(b"press Ctrl-C again")
    screen.interrupt()
    assert screen.process.wait() == -signal.SIGINT
    (batch.photos / "z.jpg").unlink()
    assert batch.run(*two_words)[0] == 0
    assert batch.files == NAMES[:3]
    assert batch.report["photos"]["records_before"] >= 1


def test_the_type_of_the_kv_cache_changes_no_record_and_causes_no_work(batch, monkeypatch):
    batch.put("a.jpg")
    assert batch.run()[0] == 0
    before = batch.records
    monkeypatch.setenv("OLLAMA_KV_CACHE_TYPE", "q4_0")
    batch.put("b.jpg")
    code, said = batch.run()
    assert (code, batch.report["photos"]["records"]) == (0, 1)
    assert batch.records[:1] == before
    assert "KV" not in said  # the setting does not reach the model, which would say that it has no effect there
