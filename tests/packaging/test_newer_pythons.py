"""CPython 3.12 to 3.14, as they come for Node.js, compile the package, load the plugins and show the help.

They have no NumPy and no ONNX Runtime, so they run no model.
"""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, ran

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured")]  # npm installs three Pythons

PYTHONS = {"3.12": "0.27.7", "3.13": "0.29.4", "3.14": "314.0.7"}
"""Versions of the package `pyodide`, by the Python in each."""


@pytest.fixture(scope="module", params=PYTHONS)
def found(request, tmp_path_factory):
    """Return what a newer Python says of the checkout."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed")
    folder = tmp_path_factory.mktemp("python")
    install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    ran(*install, f"pyodide@{PYTHONS[request.param]}", cwd=folder)
    script = shutil.copy(Path(__file__).with_name("newer_python.mjs"), folder)
    command = [node, script, ROOT, sysconfig.get_path("purelib")]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["python"].startswith(f"{request.param}.")
    return said


def test_a_newer_python_compiles_every_module_without_a_warning(found):
    assert found["modules"] > 500
    assert found["faults"] == []


def test_a_newer_python_shows_the_help(found):
    assert found["code"] == 0
    assert "Run vision-language models on your own machine." in found["help"]


def test_a_newer_python_loads_the_plugins_that_ship(found):
    states = dict(row.split(": ") for row in found["plugins"])
    kinds = ("families", "loaders.", "onnx", "sinks.", "sources.", "tasks.")  # without compiled parts at their import
    shipped = {name: state for name, state in states.items() if name.startswith(kinds)}
    assert len(shipped) >= 10
    assert set(shipped.values()) == {"loaded"}
