"""A full disk under any part of the output ends a run with one clear line, and the same command goes on afterwards."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from olpipe.testing.install import install_project

if sys.platform != "linux":
    pytest.skip("small file systems are mounted here", allow_module_level=True)

PLUGINS = Path(__file__).parents[2] / "plugins"
NAMES = [f"{number:02}.jpg" for number in range(30)]
PROJECTS = {
    "parquet": "olpipe-parquet",
    **dict.fromkeys(("coco", "yolo", "voc", "label-studio"), "olpipe-coco"),
    **dict.fromkeys(("huggingface", "huggingface-paths"), "olpipe-huggingface"),
    "xmp": "olpipe-xmp",
}


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts a small file system at a path, and returns another one that makes it larger."""
    mounted = []

    def mount(path, size):
        path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small file system takes root")
        mounted.append(path)
        return lambda: subprocess.run(["mount", "-o", "remount,size=30m", str(path)], check=True)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def use(plugin_folder, monkeypatch):
    """Return a function that installs the plugin of a sink, where it is one of a plugin."""

    def install(sink):
        if project := PROJECTS.get(sink):
            if sink in ("parquet", "huggingface", "huggingface-paths") and not find_spec("pyarrow"):
                pytest.skip("pyarrow is not installed")
            install_project(plugin_folder, PLUGINS / project)
            monkeypatch.syspath_prepend(PLUGINS / project / "src")

    return install


def check(batch, full, make_room, *options):
    """Run on the full disk, make room, and run the same command again."""
    code, said = batch.run(*options)
    assert code == 4, said
    errors = [line for line in said.splitlines() if not line.startswith(("hint: ", "warning: "))]
    assert len(errors) == 1, said
    assert errors[0].startswith("error: ")
    assert "space" in errors[0]
    assert str(full) in errors[0]
    assert said.splitlines()[-1].startswith("hint: "), said
    make_room()
    code, said = batch.run(*options)
    assert (code, "kept as" in said) == (0, False), said
    assert (batch.report["photos"]["left"], batch.failures) == (0, [])


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.examples(4)
@pytest.mark.parametrize("sink", ["jsonl", "csv", "sqlite", "sidecar", *PROJECTS])
def test_a_full_disk_under_a_sink_is_one_line_and_the_same_command_completes(batch, small_disk, use, tmp_path, sink):
    use(sink)
    disk = tmp_path / "disk"
    make_room = small_disk(disk, "8k" if sink == "csv" else "16k")
    batch.put(*NAMES)
    check(batch, disk, make_room, "--sink", f"{sink}:{disk / 'target'}", "--no-page")
    whole = tmp_path / "whole"
    batch.run("--sink", f"{sink}:{whole / 'target'}", "--no-page")
    assert contents(disk) == contents(whole)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(("folder", "size"), [("index_files", "40k"), (".olpipe", "200k")])
def test_a_full_disk_under_the_page_and_the_ledger_is_one_line_and_the_same_command_completes(
    batch, small_disk, folder, size
):
    batch.put(*NAMES)
    make_room = small_disk(batch.output / folder, size)
    check(batch, batch.output, make_room)
    assert sorted(batch.files) == NAMES
    assert len(list((batch.output / "index_files").rglob("*.jpg"))) == len(NAMES)


def contents(folder):
    """Return what all files hold, in an order that does not depend on that of the rows. Notes of sinks are left out."""
    found = {}
    for path in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
        data = path.read_bytes()
        if data.startswith(b"SQLite"):
            with closing(sqlite3.connect(path)) as database:
                data = sorted(database.execute("select record from records"))
        elif data.startswith(b"PAR1"):
            from pyarrow.parquet import read_table

            rows = found.setdefault("rows", [])
            rows += map(str, read_table(path).to_pylist())
            rows.sort()
            continue
        else:
            data = sorted(data.splitlines())
        found[path.relative_to(folder).as_posix()] = data
    return found
