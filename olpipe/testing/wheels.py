"""Write small wheels, so that sources can be tested through a real pip and without a registry."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nGenerator: olpipe\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path, distribution: str, version: str, files: Mapping[str, bytes]) -> Path:
    """Write a wheel that pip takes from a `--find-links` folder, and return it.

    Args:
        folder: Where it goes; made if it is not there.
        distribution: Its name.
        version: Its version.
        files: Bytes by member name; names are written as they are, good or bad.
    """
    stem = f"{distribution.replace('-', '_')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    metadata = {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n".encode(),
        f"{stem}.dist-info/WHEEL": _WHEEL.encode(),
        f"{stem}.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, **metadata}.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path
