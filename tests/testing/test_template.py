"""The example plugin can be copied: what its README says is all that it takes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "plugins/olpipe-template"
UPPER_FLOORS = {"asking", "cli", "engine", "pipeline", "server"}


def copy_as(*arguments):
    return subprocess.run([sys.executable, TEMPLATE / "copy_as.py", *arguments], capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / "olpipe-birds"
    done = copy_as("birds", folder)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    return folder


def test_the_readme_says_what_is_done_here():
    readme = (TEMPLATE / "README.md").read_text()
    assert "`python plugins/olpipe-template/copy_as.py birds ~/olpipe-birds`" in readme
    assert "`pip install 'PATH/TO/OLPIPE[test]' -e ~/olpipe-birds`, then `pytest ~/olpipe-birds`" in readme


def test_a_copy_says_nothing_of_its_origin(copied):
    found = [
        str(path.relative_to(copied))
        for path in copied.rglob("*")
        if path.is_file() and "olpipe_template" in path.read_text() + path.name
    ]
    assert found == []
    assert 'birds = "olpipe_birds"' in (copied / "pyproject.toml").read_text()
    assert not (copied / "copy_as.py").exists()


def test_a_copy_passes_its_tests_where_it_is_not_installed(copied):
    tests = [copied / "tests" / name for name in ("test_plugin.py", "test_colours.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_copy_is_installed_and_passes_all_its_tests(copied, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "pip", "install", "--quiet", f"{ROOT}[test]", "-e", copied], check=True)
    tested = subprocess.run([programs / "pytest", "-q", copied], capture_output=True, text=True, cwd=copied)
    assert tested.returncode == 0, tested.stdout
    listed = subprocess.run([programs / "olpipe", "plugins"], capture_output=True, text=True, check=True).stdout
    (row,) = (line.split() for line in listed.splitlines() if line.startswith("birds "))
    assert row[1:4:2] == ["olpipe-birds", "loaded"]


@pytest.mark.parametrize(
    ("name", "folder", "reason"),
    [
        ("my-birds", "new", "error: `my-birds` cannot be a plugin's name: use lower-case letters and digits"),
        ("birds", ".", "exists already"),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused(tmp_path, name, folder, reason):
    done = copy_as(name, tmp_path / folder)
    assert done.returncode == 1
    assert reason in done.stderr


def test_its_tests_import_what_a_plugin_may_import():
    imported = {
        (path.name, name)
        for path in TEMPLATE.glob("tests/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert [found for found in imported if found[1].split(".")[0] == "olpipe"]
    assert [found for found in imported if UPPER_FLOORS.intersection(found[1].split(".")[1:2])] == []
