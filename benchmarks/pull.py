"""Measure how fast a model is pulled from a registry on loopback, beside curl, and how much memory that takes.

    python benchmarks/pull.py [--size 1024] [--repeats 6] [--folder FOLDER]

A server in a process of its own has a model with one blob of so many MiB of random bytes, and a small one. Four arms
take turns: `curl`, which writes the blob into a file; `curl` and then `sync`, after which a power cut loses nothing;
`curl` and then `sha256sum`, which know that the file is right; and a pull, which hashes the blob while it comes in,
flushes it to the disk, and puts it in a store. Each arm begins with an empty folder. It runs twice in a row, and the
second time is counted: the first one pays for memory that was used in another way before, which on a virtual machine
can take longer than the work itself. A pull is a process of its own, which pulls the small blob first. What that takes,
imports included, is not counted, and its memory is what a large blob is compared with. Figures are medians, and ratios
are formed turn by turn. It fails where a pull is slower than 0.8 times curl, or where a large blob takes more memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from olpipe.default_plugins.sources.registry.options import Options
from olpipe.default_plugins.sources.registry.source import RegistrySource
from olpipe.model import ModelName
from olpipe.store.library import Library

LEAST_RATIO = 0.8
SMALL_MIB = 32
MOST_GROWTH_MIB = 16
"""How much more memory a large blob may take than a small one."""

MIB = 1 << 20


def main() -> int:
    """Run everything; the exit code says whether the bounds were kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB of the blob")
    parser.add_argument("--repeats", type=int, default=6, help="turns of each arm")
    parser.add_argument("--folder", type=Path, help="where files are written, on the disk that is measured")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pull", nargs=2, metavar=("URL", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve(given.serve)
    if given.pull:
        return pull(*given.pull)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        return measure(Path(folder), given.size, given.repeats)


def measure(folder: Path, size: int, repeats: int) -> int:
    """Let all arms take turns, and print what they took."""
    blobs = folder / "registry"
    blobs.mkdir()
    digest = write_model(blobs, "large", size)
    write_model(blobs, "small", SMALL_MIB)
    command = [sys.executable, __file__, "--serve", str(blobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            turns = [turn(url, digest, folder, number) for number in range(repeats)]
        finally:
            server.terminate()
    print(f"one blob of {size} MiB, {repeats} turns, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'arm':<24}{'median':>10}{'MB/s':>10}{'CPU':>10}")
    for arm in ("curl", "curl, sync", "curl, sha256sum", "pull"):
        seconds = statistics.median(one[arm]["seconds"] for one in turns)
        cpu = statistics.median(one[arm]["cpu"] for one in turns)
        print(f"{arm:<24}{seconds:>8.2f} s{size * MIB / seconds / 1e6:>10.0f}{cpu:>8.2f} s")
    ratio, synced, checked = (
        statistics.median(one[arm]["seconds"] / one["pull"]["seconds"] for one in turns)
        for arm in ("curl", "curl, sync", "curl, sha256sum")
    )
    base = statistics.median(one["pull"]["base"] for one in turns)
    growth = max(one["pull"]["peak"] - one["pull"]["base"] for one in turns)
    print(f"\npull is {ratio:.2f} times as fast as curl, {synced:.2f} times as fast as curl with sync,")
    print(f"and {checked:.2f} times as fast as curl with sha256sum")
    print(f"peak memory of a pull: {base:.0f} MiB for {SMALL_MIB} MiB, {growth:+.1f} MiB for {size} MiB")
    return 0 if ratio >= LEAST_RATIO and growth <= MOST_GROWTH_MIB else 1


def turn(url: str, digest: str, folder: Path, number: int) -> dict[str, dict[str, float]]:
    """Run each arm twice, and count the second time. Every turn begins with another arm."""
    arms: dict[str, Callable[[], dict[str, float]]] = {
        "curl": lambda: curled(url, digest, folder),
        "pull": lambda: pulled(url, folder),
        "curl, sync": lambda: curled(url, digest, folder, "sync"),
        "curl, sha256sum": lambda: curled(url, digest, folder, "sha256sum"),
    }
    names = list(arms)
    first = number % len(names)
    took = {}
    for name in names[first:] + names[:first]:
        arms[name]()
        took[name] = arms[name]()
    return took


def curled(url: str, digest: str, folder: Path, afterwards: str = "") -> dict[str, float]:
    """Fetch the blob with curl, perhaps run another program on the file, and return what that took."""
    target = folder / "curl"
    took = timed(["curl", "-sf", "-o", str(target), f"{url}/v2/library/large/blobs/{digest}"])
    if afterwards:
        more = timed([afterwards, str(target)])
        took = {key: took[key] + more[key] for key in took}
    target.unlink()
    return took


def timed(command: list[str]) -> dict[str, float]:
    """Run a program; return its seconds and those of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def pulled(url: str, folder: Path) -> dict[str, float]:
    """Pull the large model into an empty store, in a process of its own; return what that took."""
    store = folder / "store"
    command = [sys.executable, __file__, "--pull", url, str(store)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(store)
    took: dict[str, float] = json.loads(ended.stdout)
    return took


def pull(url: str, folder: str) -> int:
    """Pull the small model and then the large one, and print what the large one took."""
    library = Library(Path(folder) / "models", cache=Path(folder) / "cache")
    options = Options(registry=url)
    source = RegistrySource(lambda: options)
    source.pull("small", ModelName.parse("small"), library, lambda step: None)
    base = peak_mib()
    began, before = time.perf_counter(), time.process_time()
    source.pull("large", ModelName.parse("large"), library, lambda step: None)
    seconds, cpu = time.perf_counter() - began, time.process_time() - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "base": base, "peak": peak_mib()}))
    return 0


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_model(folder: Path, name: str, size: int) -> str:
    """Write a manifest with a blob of random bytes; return the digest of the blob."""
    hashed = hashlib.sha256()
    with (folder / "new").open("wb") as file:
        for _ in range(size):
            piece = os.urandom(MIB)
            hashed.update(piece)
            file.write(piece)
    digest = f"sha256:{hashed.hexdigest()}"
    (folder / "new").rename(folder / digest)
    config = b'{"model_format":"raw"}'
    config_digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    (folder / config_digest).write_bytes(config)
    layer: Mapping[str, Any] = {"mediaType": "x", "digest": digest, "size": size * MIB, "name": "weights.bin"}
    described = {"mediaType": "x", "digest": config_digest, "size": len(config)}
    (folder / name).write_text(json.dumps({"schemaVersion": 2, "config": described, "layers": [layer]}))
    return digest


def serve(folder: Path) -> int:
    """Serve the files of a folder as a registry, as fast as the system can, until the process is ended."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=answer, args=(connection, folder), daemon=True).start()


def answer(connection: socket.socket, folder: Path) -> None:
    """Answer the requests of one connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in received:
                if not (data := connection.recv(1 << 16)):
                    return
                received += data
            head, _, received = received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            repository, _, last = path.removeprefix("/v2/library/").partition("/")
            name = repository if last.startswith("manifests/") else last.removeprefix("blobs/")
            with (folder / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                asked = re.search(rb"(?im)^range: bytes=(\d+)-(\d+)", head)
                begins, ends = (int(asked[1]), int(asked[2]) + 1) if asked else (0, size)
                status = "206 Partial Content" if asked else "200 OK"
                told = f"HTTP/1.1 {status}\r\nContent-Length: {ends - begins}\r\n"
                told += f"Content-Range: bytes {begins}-{ends - 1}/{size}\r\n\r\n"
                connection.sendall(told.encode())
                while begins < ends:
                    begins += os.sendfile(connection.fileno(), file.fileno(), begins, ends - begins)


if __name__ == "__main__":
    sys.exit(main())
