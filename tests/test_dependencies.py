"""What is imported is declared: a distribution that only comes along with another one may go as it came."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


@cache
def distributions() -> dict[str, set[str]]:
    """Return the distributions that every top-level package may come from."""
    found = {package: set(map(normal, names)) for package, names in importlib.metadata.packages_distributions().items()}
    ours = {project.name.replace("-", "_"): {project.name} for project in PROJECTS[1:]}
    return {**found, **ours, "google": {"protobuf"}}  # many distributions share the package `google`


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def shipped(project: Path) -> list[Path]:
    folder = project / "olpipe" if project == ROOT else project / "src"
    return sorted(folder.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, the standard library's left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found - sys.stdlib_module_names


def declared(project: Path) -> set[str]:
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [settings["name"], *settings.get("dependencies", ())]
    requirements += chain.from_iterable(settings.get("optional-dependencies", {}).values())
    return {normal(re.split(r"[\[<>=~ ]", requirement)[0]) for requirement in requirements}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_everything_that_is_imported_is_declared(project):
    files = shipped(project)
    assert files
    undeclared = [
        f"{path.relative_to(ROOT)} imports {package}"
        for path in files
        for package in imported(path)
        if not distributions().get(package, {package}) & declared(project)
    ]
    assert undeclared == []
