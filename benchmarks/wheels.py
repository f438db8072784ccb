"""Say for which systems and Pythons each extra has wheels of everything: `python benchmarks/wheels.py`.

uv resolves the whole set for another machine, and downloads nothing but metadata. A cell says `yes`, or names the first
requirement that stands in the way; all that uv said goes to stderr. The table stands in docs/platforms.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TARGETS = {
    "Linux x86-64": "x86_64-manylinux_2_31",
    "Linux arm64": "aarch64-manylinux_2_31",
    "macOS 14 arm64": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
ROWS = (
    *((system, ("cpu", "heif", "raw")) for system in TARGETS),
    *((system, ("cuda",)) for system in TARGETS if not system.startswith("macOS")),
    ("Windows x86-64", ("directml",)),
    *((system, ("test",)) for system in TARGETS),
)
"""Systems, each with extras that are installed together."""


def requirements(extras: Sequence[str]) -> list[str]:
    """Return what olpipe with some extras asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(requirement for extra in extras for requirement in optional[extra])]


def resolve(extras: Sequence[str], system: str, python: str) -> str:
    """Return `yes`, or what stands in the way."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.in")
        wanted.write_text("\n".join(requirements(extras)), encoding="utf-8")
        command = [
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--no-header",
            "--only-binary",
            ":all:",
            "--python-version",
            python,
        ]
        command += ["--python-platform", TARGETS[system], "--no-annotate", str(wanted)]
        environment = os.environ | {"NO_COLOR": "1", "MACOSX_DEPLOYMENT_TARGET": "14.0"}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode == 0:
        return "yes"
    said = " ".join(ended.stderr.split())
    print(f"{system}, Python {python}, {', '.join(extras)}: {said}", file=sys.stderr)
    found = re.search(r"Because (?:only )?(\S+?)(?:[<>=]\S*)? ", said)
    return f"no: {found[1]}" if found else "no"


def main() -> None:
    """Print the table in Markdown."""
    print(f"| system | extras | {' | '.join(f'Python {python}' for python in PYTHONS)} |")
    print(f"|---|---|{'---|' * len(PYTHONS)}")
    for system, extras in ROWS:
        cells = [resolve(extras, system, python) for python in PYTHONS]
        print(f"| {system} | {', '.join(f'`{extra}`' for extra in extras)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
