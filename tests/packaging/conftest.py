import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ran(*command, cwd=ROOT, **environment):
    """Run a command that has to succeed, and return what it wrote to stdout."""
    every = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **{name: str(at) for name, at in environment.items()}}
    ended = subprocess.run([str(word) for word in command], cwd=cwd, env=every, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}"
    return ended.stdout


def build(folder, *options):
    """Build distributions into a new folder, and return the folder."""
    ran(sys.executable, "-m", "build", "--outdir", folder, *options)
    return folder


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def contents(wheel):
    """Return the files of a wheel by their names."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """Return a copy of the checkout as it is now, so that nobody changes it between two builds."""
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*_cache", ".hypothesis", "out")
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "checkout", ignore=left_out)


@pytest.fixture(scope="session")
def distributions(checkout, tmp_path_factory):
    """Return a folder with what is published: the sdist, and the wheel that was built from the sdist."""
    return build(tmp_path_factory.mktemp("distributions"), checkout)


@pytest.fixture(scope="session")
def wheel(distributions):
    """Return the wheel of olpipe."""
    return only(distributions, "*.whl")


@pytest.fixture(scope="session")
def model_wheel(checkout, tmp_path_factory):
    """Return the wheel of the plugin that brings the model photo-mini."""
    folder = build(tmp_path_factory.mktemp("plugin"), "--wheel", checkout / "plugins/olpipe-photo-mini")
    return only(folder, "*.whl")
