"""A part of a folder, a list of files, a forecast, and a run that may only take so long."""

import json
import os
import subprocess
import time

import pytest

from olpipe.cli.batch_plan import words
from olpipe.cli.main import main

NAMES = [f"{number:02}.jpg" for number in range(12)]


def plan(batch, capsys, *more):
    """Ask for a forecast; return the exit code, the records shown, and what is said."""
    with pytest.raises(SystemExit) as ended:
        main(batch.arguments("--plan", *more))
    captured = capsys.readouterr()
    return ended.value.code, [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_a_sample_comes_from_all_parts_and_is_the_same_every_time(batch):
    batch.put(*NAMES)
    assert batch.run("--sample", 3)[0] == 0
    assert batch.files == ["02.jpg", "06.jpg", "10.jpg"]
    code, said = batch.run("--sample", 3)
    assert (code, said.splitlines()[0]) == (0, "3 photos: 3 records (0 new)")


@pytest.mark.examples(1)
@pytest.mark.parametrize("since", ["2001-01-01", "2001-01-01T00:00:00+02:00", "900w"])
def test_only_what_changed_since_then_is_described(batch, since):
    batch.put("old.jpg", "new.jpg")
    os.utime(batch.photos / "old.jpg", (1_000_000, 1_000_000))
    batch.run("--since", since)
    assert batch.files == ["new.jpg"]


@pytest.mark.parametrize("since", ["yesterday", "7x", "99999999w", "2026-13-01", ""])
def test_what_is_no_date_is_refused(batch, since):
    code, said = batch.run("--since", since)
    assert code == 2
    assert said.splitlines() == [
        f"error: `--since`: `{since}` is no date",
        "hint: write one like 2026-11-20, or how long ago it was: 12h, 7d, 2w",
    ]


def test_failures_are_tried_again_all_or_of_one_kind(batch):
    batch.put("a.jpg")
    batch.model(fail_on="48x32")
    two_words = json.dumps({"type": "object", "properties": {"text": {"const": "two words"}}})
    command, *rest = batch.arguments("--schema", two_words)

    def tried(*options):
        with pytest.raises(SystemExit) as ended:
            main([command, *options, *rest])  # the first input follows: it is not the value of the option
        assert ended.value.code == 3
        return batch.report["failure_kinds"]

    assert tried() == {"generation": 1}
    assert tried() == tried("--retry-failed=context") == {}
    assert tried("--retry-failed=context", "--retry-failed=generation") == {"generation": 1}
    assert tried("--retry-failed") == {"generation": 1}


def test_fresh_describes_everything_again(batch):
    batch.put("a.jpg", "b.jpg")
    batch.run()
    assert batch.run("--fresh")[1].splitlines()[0] == "2 photos: 2 records"
    assert batch.report["photos"]["records"] == 2
    assert batch.files == ["a.jpg", "b.jpg"]


def test_a_list_of_files_is_described_and_what_is_missing_is_said(batch, tmp_path):
    batch.put("a.jpg", "b.jpg", "c d.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{batch.photos / name}\n" for name in ("a.jpg", "c d.jpg", "no.jpg")))
    code, said = batch.run("--files-from", listed, inputs=[])
    assert code == 3
    assert said.splitlines()[0] == f"warning: 1 file of the list not found: `{batch.photos / 'no.jpg'}`"
    assert batch.files == ["a.jpg", "c d.jpg"]
    assert batch.report["passed_by"]["missing"] == [str(batch.photos / "no.jpg")]


def test_a_list_comes_through_a_pipe(batch):
    batch.put("a.jpg", "b\nc.jpg")
    data = b"".join(os.fsencode(batch.photos / name) + b"\0" for name in ("a.jpg", "b\nc.jpg"))
    process = batch.start("--files-from", "-", inputs=[], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.communicate(data)
    assert process.returncode == 0
    assert batch.files == ["a.jpg", "b\nc.jpg"]


@pytest.mark.parametrize(
    ("given", "what"),
    [((), "no photos are named"), (("--files-from", os.devnull), "the list of `--files-from` is empty")],
)
def test_a_run_without_a_photo_is_refused(batch, given, what):
    assert batch.run(*given, inputs=[]) == (
        2,
        f"error: {what}\nhint: name a folder, or a list of photos with `--files-from`\n",
    )


def test_a_plan_tells_what_it_will_take_and_writes_nothing(batch, capsys):
    batch.put(*NAMES)
    code, records, said = plan(batch, capsys)
    assert code == 0
    assert [record["file"] for record in records] == ["00.jpg", "02.jpg"]
    lines = said.splitlines()
    assert lines[0] == "12 photos: 0 done, 12 left. 8 were tried, and nothing is written"
    assert [line.split()[0] for line in lines[1:]] == ["about", "tokens", "on"]
    assert not batch.output.exists()


def test_a_plan_counts_what_is_done_and_leaves_it_alone(batch, capsys):
    batch.put(*NAMES)
    batch.run("--limit", 10)
    before = {path: path.read_bytes() for path in batch.output.rglob("*") if path.is_file()}
    code, records, said = plan(batch, capsys)
    assert (code, [record["file"] for record in records]) == (0, ["10.jpg", "11.jpg"])
    assert said.splitlines()[0] == "12 photos: 10 done, 2 left. 2 were tried, and nothing is written"
    assert {path: path.read_bytes() for path in batch.output.rglob("*") if path.is_file()} == before
    batch.run()
    code, records, said = plan(batch, capsys)
    assert (records, said) == ([], "12 photos: 12 done, 0 left. Nothing was tried, and nothing is written\n")


def test_a_plan_names_what_fails(batch, capsys):
    batch.put("a.jpg")
    batch.put("b.jpg", data=b"no photo")
    code, records, said = plan(batch, capsys)
    assert (code, len(records)) == (0, 1)
    assert said.splitlines()[1].startswith("1 of them failed: ")


def test_a_plan_waits_for_no_other_run(batch, capsys):
    batch.put("a.jpg")
    batch.model(endless_on="")
    process = batch.start(stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not batch.ledger.exists() and time.monotonic() < end:
            time.sleep(0.05)
        code, records, said = plan(batch, capsys)
    finally:
        process.kill()
        process.wait()
    assert (code, records) == (4, [])
    assert said.splitlines()[-2:] == [
        f"error: another run is writing to `{batch.output}`",
        "hint: wait until it ends, or give another folder with `-o`",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than a second"),
        (1, "1 second"),
        (61, "1 minute 1 second"),
        (3600, "1 hour"),
        (3605, "1 hour"),
        (22320, "6 hours 12 minutes"),
        (2 * 86400 + 3600, "2 days 1 hour"),
    ],
)
def test_times_are_told_in_two_units(seconds, said):
    assert words(seconds) == said


def test_a_run_begins_nothing_new_when_its_time_is_over(batch):
    batch.put(*NAMES)
    batch.model(delay_s=0.2)
    code, said = batch.run("--max-hours", 0.5 / 3600)
    assert code == 0
    lines = said.splitlines()
    assert lines[-2].startswith("the time is over with ")
    assert lines[-1] == "hint: run the same command again to go on"
    assert batch.report["status"] == "interrupted"
    assert batch.run()[0] == 0
    assert sorted(batch.files) == NAMES


def test_no_time_at_all_is_refused(batch):
    assert batch.run("--max-hours", 0)[0] == 2
