"""What is published holds all that olpipe needs, and nothing else."""

import email
import tarfile
import tomllib
from pathlib import Path

import pytest

import olpipe
from tests.packaging.conftest import build, contents, only

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unmeasured")]  # the build fetches its backend

NEEDED = {
    "olpipe/cli/main.py",
    "olpipe/languages.py",
    "olpipe/pipelines/photo-tags.toml",
    "olpipe/py.typed",
    "olpipe/server/page.html",
    "olpipe/testing/echo.py",
}
"""One of each kind, so that a folder that moved does not make the tests below pass with less."""


def written(folder, at):
    """Return the files of a folder, under the names that they have in a wheel."""
    return {f"{at}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def metadata(wheel):
    files = contents(wheel)
    return email.message_from_string(files[f"olpipe-{olpipe.__version__}.dist-info/METADATA"].decode())


def test_the_wheel_holds_the_package_and_the_recipes_and_nothing_else(wheel, checkout):
    names = set(contents(wheel))
    about = {name for name in names if ".dist-info/" in name}
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]  # for `man` and for shells
    about |= {f"olpipe-{olpipe.__version__}.data/data/{target}" for target in shared.values()}
    assert names - about == written(checkout / "olpipe", "olpipe") | written(checkout / "pipelines", "olpipe/pipelines")
    assert names >= NEEDED
    assert not [name for name in names if "test_" in name or name.startswith("tests/")]


def test_the_wheel_has_the_licence_and_one_command(wheel, checkout):
    files = contents(wheel)
    about = f"olpipe-{olpipe.__version__}.dist-info"
    assert files[f"{about}/licenses/LICENSE"] == (checkout / "LICENSE").read_bytes()
    assert files[f"{about}/entry_points.txt"].decode().split() == [
        "[console_scripts]",
        "olpipe",
        "=",
        "olpipe.cli.main:main",
    ]


def test_the_wheel_fits_every_system(wheel):
    assert wheel.name == f"olpipe-{olpipe.__version__}-py3-none-any.whl"


def test_the_wheel_says_what_the_project_file_says(metadata, checkout):
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == project["license"]
    assert metadata.get_all("Classifier") == sorted(project["classifiers"])
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert metadata.get_payload().strip() == (checkout / "README.md").read_text(encoding="utf-8").strip()


def test_the_sdist_builds_the_same_wheel_as_the_checkout(wheel, checkout, tmp_path):
    assert contents(only(build(tmp_path, "--wheel", checkout), "*.whl")) == contents(wheel)


def test_the_sdist_holds_what_the_wheel_is_built_from_and_nothing_else(distributions):
    with tarfile.open(only(distributions, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    assert top == {
        ".gitignore",
        "CHANGELOG.md",
        "docs",
        "LICENSE",
        "PKG-INFO",
        "README.md",
        "olpipe",
        "pipelines",
        "pyproject.toml",
    }


def test_the_plugins_wheel_holds_its_weights_and_their_licences(model_wheel):
    names = set(contents(model_wheel))
    assert {Path(name).name for name in names} >= {"adapter.safetensors", "classifier.onnx", "detector.onnx", "card.md"}
    assert [name for name in names if "/licenses/" in name and ".dist-info/" in name]
    assert not [name for name in names if name.startswith(("tests/", "training/", "conversion/"))]
