"""The example plugin can be copied: what its README says is all that it takes."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "plugins/olpipe-template"
RULE = "use lower-case letters and digits, with hyphens between them, and begin with a letter"
UPPER_FLOORS = {"asking", "cli", "engine", "pipeline", "server"}


def copy_as(*arguments):
    return subprocess.run([sys.executable, TEMPLATE / "copy_as.py", *arguments], capture_output=True, text=True)


def copied_as(name, folder):
    done = copy_as(name, folder)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    return folder


@pytest.fixture
def copied(tmp_path):
    return copied_as("birds", tmp_path / "olpipe-birds")


def run_tests(*tests):
    """Run tests of a copy that is not installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_readme_says_what_is_done_here():
    readme = (TEMPLATE / "README.md").read_text()
    assert "`python plugins/olpipe-template/copy_as.py birds ~/olpipe-birds`" in readme
    assert "`pip install 'PATH/TO/OLPIPE[cpu,test]' -e ~/olpipe-birds`, then `pytest ~/olpipe-birds`" in readme


def test_a_copy_says_nothing_of_its_origin(copied):
    found = [
        str(path.relative_to(copied))
        for path in copied.rglob("*")
        if path.is_file() and re.search("olpipe.template|example plugin for", path.read_text() + path.name)
    ]
    assert found == []
    assert 'birds = "olpipe_birds"' in (copied / "pyproject.toml").read_text()
    assert sorted(path.name for path in copied.iterdir()) == ["README.md", "pyproject.toml", "src", "tests"]


def test_a_copy_has_a_readme_that_names_only_what_it_has(copied):
    readme = (copied / "README.md").read_text()
    assert readme.startswith("# olpipe-birds\n")
    named = set(re.findall(r"`((?:src/|tests)[\w./]*|\w+\.(?:py|toml)|tokenizer)`", readme))
    assert {"tests/test_plugin.py", "counts.py", "tokenizer", "src/olpipe_birds/__init__.py"} <= named
    places = [copied, copied / "src/olpipe_birds"]
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
    modules = {path.name for path in (copied / "src/olpipe_birds").glob("*.py")} - {"__init__.py"}
    assert modules <= named
    assert re.findall("plugins/|samples|copy_as|template", readme) == []


@pytest.mark.slow
def test_a_copy_passes_its_tests_where_it_is_not_installed(copied):
    run_tests(copied / "tests/test_plugin.py", copied / "tests/test_colours.py")


@pytest.mark.slow
def test_a_plugin_may_have_a_name_with_a_hyphen(tmp_path):
    copied = copied_as("my-birds", tmp_path / "olpipe-my-birds")
    project = tomllib.loads((copied / "pyproject.toml").read_text())["project"]
    assert project["name"] == "olpipe-my-birds"
    assert project["entry-points"]["olpipe"] == {"my-birds": "olpipe_my_birds"}
    assert "`olpipe plugins` lists `my-birds` as `loaded`" in (copied / "README.md").read_text()
    run_tests(copied / "tests/test_plugin.py", copied / "tests/test_tsv_sink.py")


@pytest.mark.slow
def test_a_copy_that_keeps_only_the_sink_passes_its_tests_after_what_its_readme_says(copied):
    source, tests = copied / "src/olpipe_birds", copied / "tests"
    # 1. Modules and their tests
    for name in ("colours", "counts_backend", "counts", "counts_source", "side_by_side", "means_family", "commands"):
        (source / f"{name}.py").unlink()
    shutil.rmtree(source / "tokenizer")
    for name in ("colours", "counts", "means"):
        (tests / f"test_{name}.py").unlink()
    # 2. Hooks and imports
    init = (source / "__init__.py").read_text()
    for hook in ("backends", "families", "model_sources", "perceivers"):
        init = re.sub(rf"@hookimpl\ndef register_{hook}\(.*?\n\n\n", "", init, flags=re.DOTALL)
    init = re.sub(r"^from olpipe_birds\.(co|means).*\n", "", init, flags=re.MULTILINE)
    (source / "__init__.py").write_text(
        init.replace("Backend, Family, ModelSource, Perceiver, SinkFactory", "SinkFactory")
    )
    # 3. The tests of the plugin
    plugin = (tests / "test_plugin.py").read_text()
    plugin = re.sub(r'    "(backends|families|model_sources|perceivers)": .*\n', "", plugin)
    plugin = re.sub(r"class TestCommandsModule.*?\n\n\n", "", plugin, flags=re.DOTALL)
    plugin = re.sub(r"def test_the_command.*?(\n\n\n|\Z)", "", plugin, flags=re.DOTALL)
    (tests / "test_plugin.py").write_text(plugin)
    # 4. The project
    project = (copied / "pyproject.toml").read_text()
    project = re.sub(r'\[project.entry-points."olpipe.commands"\]\n.*\n', "", project)
    project = project.replace('"click>=8.1.8", "numpy>=1.26", ', "").replace(', "onnx>=1.18"', "")
    (copied / "pyproject.toml").write_text(project)
    assert "tsv_sink" in init
    assert "passed" in run_tests(tests)


@pytest.mark.slow
def test_a_copy_is_installed_and_passes_all_its_tests(copied, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "pip", "install", "--quiet", f"{ROOT}[cpu,test]", "-e", copied], check=True)
    tested = subprocess.run([programs / "pytest", "-q", copied], capture_output=True, text=True, cwd=copied)
    assert tested.returncode == 0, tested.stdout
    listed = subprocess.run([programs / "olpipe", "plugins"], capture_output=True, text=True, check=True).stdout
    (row,) = (line.split() for line in listed.splitlines() if line.startswith("birds "))
    assert row[1:4:2] == ["olpipe-birds", "loaded"]


@pytest.mark.parametrize(
    ("name", "folder", "reason"),
    [
        *((name, "new", f"`{name}` cannot be a plugin's name: {RULE}") for name in ("Birds", "my_birds", "9a", "a--b")),
        ("birds", ".", "`{folder}` exists already"),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused(tmp_path, name, folder, reason):
    done = copy_as(name, tmp_path / folder)
    assert (done.returncode, done.stderr) == (1, f"error: {reason.format(folder=tmp_path / folder)}\n")
    assert list(tmp_path.iterdir()) == []


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
