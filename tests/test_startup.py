"""What a command pays before it starts to work: counted in imports, which no busy machine can change."""

import subprocess
import sys

import pytest

from olpipe import entry_points
from olpipe.entry_points import COMMANDS, PLUGINS
from olpipe.testing.fixtures import plugin_folder
from olpipe.testing.install import install_plugin

__all__ = ["plugin_folder"]

pytestmark = pytest.mark.usefixtures("unmeasured")

HEAVY = {
    "PIL",
    "cryptography",
    "google.protobuf",
    "httpx",
    "huggingface_hub",
    "jinja2",
    "jsonschema",
    "jsonschema_specifications",
    "llguidance",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime_genai",
    "pillow_heif",
    "rawpy",
    "prometheus_client",
    "prompt_toolkit",
    "psutil",
    "python_multipart",
    "referencing",
    "safetensors",
    "sqlite3",
    "starlette",
    "tokenizers",
    "tqdm",
    "uvicorn",
    "wcwidth",
}
NOT_FOR_HELP = HEAVY | {"dataclasses", "importlib.metadata", "logging", "olpipe.plugins", "olpipe.settings", "pluggy"}

AT_EXIT = """
import atexit, sys
atexit.register(lambda: sys.stderr.write("\\n".join(["imported:", *sys.modules])))
"""
HELP = AT_EXIT + "from olpipe.cli.main import main\nmain(['--help'])"
LOAD_PLUGINS = AT_EXIT + (
    "from olpipe.plugins import Plugins\nfrom olpipe.settings import Settings\n"
    "print(*(f'{row.name}={row.status}' for row in Plugins.load(Settings.read()).rows))"
)


def imported_by(source: str) -> tuple[str, set[str]]:
    """Run a program in a process of its own; return what it wrote, and the modules it imported."""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return ended.stdout, set(ended.stderr.partition("imported:\n")[2].splitlines())


def test_help_imports_nothing_that_it_does_not_show():
    shown, modules = imported_by(HELP)
    assert "Describe folders of photos" in shown
    assert {"olpipe.cli.main", "click"} <= modules
    assert modules & NOT_FOR_HELP == set()


def test_help_imports_no_command():
    _, modules = imported_by(HELP)
    assert {name for name in modules if name.startswith("olpipe.cli.")} == {"olpipe.cli.group", "olpipe.cli.main"}


def test_loading_every_plugin_imports_no_heavy_library():
    rows, modules = imported_by(LOAD_PLUGINS)
    assert {"onnx=loaded", "ort_genai=loaded", "photo-mini=loaded"} <= set(rows.split())
    assert modules & HEAVY == set()


def test_names_agree_with_the_standard_library_on_what_is_installed():
    for group in (PLUGINS, COMMANDS, "console_scripts", "pytest11"):
        assert entry_points.names(group) == [found.name for found in entry_points.installed(group)]
    assert "pytest" in entry_points.names("console_scripts")


def test_names_are_read_from_their_own_heading_only(plugin_folder):
    install_plugin(plugin_folder, "words", "words", commands={"say": "words.commands", "ask": "words.commands"})
    (plugin_folder / "words-1.0.dist-info" / "entry_points.txt").write_text(
        "# talk = not.this\n[console_scripts]\nshout = a:b\n\n[ olpipe ]\n[olpipe.commands]\n# talk = not.this\n"
        "ask=words\nsay  =  words [extra]\n[gui_scripts]\nsing = a:b\n",
        encoding="utf-8",
    )
    assert {"ask", "say"} <= set(entry_points.names(COMMANDS))
    assert {"talk", "shout", "sing", "# talk"}.isdisjoint(entry_points.names(COMMANDS))


def test_a_distribution_earlier_on_the_path_hides_others_of_its_name(plugin_folder, monkeypatch):
    older = plugin_folder.parent / "older"
    install_plugin(older, "My.Words", None, commands={"old": "words"})
    monkeypatch.syspath_prepend(older)
    assert "old" in entry_points.names(COMMANDS)
    newer = plugin_folder.parent / "newer"
    install_plugin(newer, "my_words", None, commands={"new": "words"})
    monkeypatch.syspath_prepend(newer)
    assert {"old", "new"} & set(entry_points.names(COMMANDS)) == {"new"}
    assert {"old", "new"} & {found.name for found in entry_points.installed(COMMANDS)} == {"new"}


@pytest.mark.parametrize("entry", ["missing", "archive.zip"])
def test_a_path_that_is_no_folder_is_passed_over(plugin_folder, monkeypatch, entry):
    (plugin_folder / "archive.zip").write_bytes(b"PK")
    install_plugin(plugin_folder, "words", None, commands={"say": "words"})
    monkeypatch.syspath_prepend(plugin_folder / entry)
    assert "say" in entry_points.names(COMMANDS)
