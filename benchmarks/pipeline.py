"""Measure what the pipeline around the model costs: with very many photos, and with large ones.

    python benchmarks/pipeline.py scale [--files 100000] [--folder FOLDER]
    python benchmarks/pipeline.py busy [--photos 48] [--seconds 0.5] [--model NAME]

`scale` describes very many small photos with a model that answers at once, with the page and four sinks. So nearly all
of the time is the pipeline's own. It prints how soon work begins, how many photos are done a second, the peak memory
after a tenth of the photos and after all of them, and how long the page takes at the end. Then it runs the same again,
which has nothing to do, and prints how many photos it passes by a second. It fails where work begins after more than 2
seconds, where fewer than 20,000 photos that are done are passed by a second, or where memory grows by more than a fifth
over the last nine tenths.

`busy` describes photos of 12 megapixels. By default the model is one that answers one question at a time and sleeps so
long over each: what it waits for in between is the pipeline's fault. The share of the time in which it is at work is
printed, from the first question to the last answer. It fails below 97 per cent. With `--model`, it is one that
`olpipe list` shows. It computes, so its threads and those that decode photos share the processors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MOST_START_S = 2.0
LEAST_PASSED_BY = 20_000
MOST_GROWTH = 0.2
LEAST_BUSY = 0.97
SINKS = ("jsonl", "csv", "sqlite", "sidecar:sidecars")
EACH_FOLDER = 1000
DOCUMENT = {
    "tags": ["cat", "sofa", "blanket", "window"],
    "title": "A cat on a sofa",
    "description": "A grey cat sleeps on a sofa beside a window. A red blanket lies under it.",
    "alt": "A grey cat sleeping on a red blanket",
    "objects": [{"bbox_2d": [100, 200, 700, 900], "label": "cat", "tags": ["grey"]}],
}


def main() -> int:
    """Run one of the two measurements; the exit code says whether its bounds were kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("scale", "busy", "run"))
    parser.add_argument("--files", type=int, default=100_000, help="how many small photos")
    parser.add_argument("--photos", type=int, default=48, help="how many large photos")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long the model sleeps over a photo")
    parser.add_argument("--model", help="a model on this machine, instead of one that sleeps")
    parser.add_argument("--folder", type=Path, help="where files are written, on the disk that is measured")
    parser.add_argument("--arguments", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what == "run":
        print(json.dumps(run(**json.loads(given.arguments))))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        if given.what == "scale":
            return scale(folder, given.files)
        return busy(folder, given.photos, given.seconds, given.model)


def scale(folder: Path, files: int) -> int:
    """Describe very many photos, and pass them by the second time."""
    write_photos(folder / "photos", files, (16, 16))
    make_echo(folder, slots=8, delay_s=0.0)
    first = started(folder, "echo", SINKS)
    second = started(folder, "echo", SINKS)
    assert first["records"] == files, first
    assert second["before"] == files and second["records"] == 0, second
    pace = (files - 1) / (first["last_s"] - first["first_s"])
    finishing = first["end_s"] - first["last_s"]
    growth = first["peak_mib"] / first["tenth_mib"] - 1
    passed_by = files / second["end_s"]
    print(f"{files} photos, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"the first record comes after   {first['first_s']:8.2f} s  (at most {MOST_START_S:g} s)")
    print(f"described                      {pace:8.0f} photos a second, with four sinks and thumbnails")
    print(f"page and sinks finished after  {finishing:8.2f} s more")
    print(f"peak memory                    {first['tenth_mib']:8.0f} MiB after a tenth, {first['peak_mib']:.0f} MiB")
    print(f"the same again takes           {second['end_s']:8.2f} s: {passed_by:.0f} photos a second are passed by")
    kept = first["first_s"] <= MOST_START_S and passed_by >= LEAST_PASSED_BY and growth <= MOST_GROWTH
    return 0 if kept else 1


def busy(folder: Path, photos: int, seconds: float, model: str | None) -> int:
    """Describe large photos, and tell for how much of the time the model was at work."""
    write_photos(folder / "photos", photos, (4000, 3000))
    if model is None:
        words = len(json.dumps(DOCUMENT, separators=(",", ":")).split())
        make_echo(folder, slots=1, delay_s=seconds / words)
    took = started(folder, model or "echo", ("jsonl",))
    assert took["records"] == photos, took
    between_s = took["last_s"] - took["first_s"]
    print(f"{photos} photos of 12 megapixels, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"{between_s / (photos - 1):.3f} s a photo; by stage, in seconds of all photos together:")
    for name, value in took["stages"].items():
        print(f"  {name:<16}{value:8.2f}")
    if model is not None:
        return 0
    share = (photos - 1) * seconds / between_s
    print(f"the model is at work for {share:.1%} of the time (at least {LEAST_BUSY:.0%})")
    return 0 if share >= LEAST_BUSY else 1


def started(folder: Path, model: str, sinks: Sequence[str]) -> dict[str, Any]:
    """Run a batch in a process of its own, and return what it measured."""
    arguments = json.dumps({"folder": str(folder), "model": model, "sinks": list(sinks)})
    environment = dict(os.environ)
    if model == "echo":
        paths = [str(folder / "site"), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {"OLPIPE_HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, "run", "--arguments", arguments]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured


@dataclass(slots=True)
class Watch:
    """Notes when photos get their records, in seconds since the process began."""

    began_s: float
    files: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    tenth_mib: float = 0.0

    def see(self, counts: Any) -> None:
        """Take note of the counts of a run."""
        if not counts.records:
            return
        now = time.monotonic() - self.began_s
        self.first_s = self.first_s or now
        self.last_s = now
        if not self.tenth_mib and counts.records >= counts.wanted / 10:
            self.tenth_mib = peak_mib()


def run(folder: str, model: str, sinks: Sequence[str]) -> dict[str, Any]:
    """Run a batch as the command line does, and return what it took."""
    watch = Watch(time.monotonic())
    from olpipe.describing.recipe_file import named_recipe
    from olpipe.engine.manager import Engine
    from olpipe.imaging.discover import discover
    from olpipe.pipeline.run import BatchOptions, Observer, run_batch
    from olpipe.plugins import Plugins
    from olpipe.settings import Settings
    from olpipe.store.library import Library

    settings = Settings.read()
    plugins = Plugins.load(settings)
    output = Path(folder) / "out"
    recipe = replace(named_recipe("photo-tags"), model=model, sinks=tuple(sinks))
    suffixes = {suffix for loader in plugins.image_loaders for suffix in loader.suffixes}
    found = discover([str(Path(folder) / "photos")], suffixes, leave_out=output)
    library = Library(settings.models_folder, cache=settings.home / "cache", keeps_blobs=settings.keeps_blobs)
    observer = Observer(watch.see, lambda line: print(line, file=sys.stderr))
    with Engine(library, plugins, settings, progress=lambda step: None) as engine:
        result = run_batch(
            found,
            recipe,
            BatchOptions(output, page=True),
            observer,
            plugins=plugins,
            engine=engine,
            settings=settings,
        )
    failures = (output / "failures.jsonl").read_text(encoding="utf-8")
    if failures:
        print(failures[:500], file=sys.stderr)
    return {
        "records": result.counts.records,
        "before": result.counts.records_before,
        "first_s": watch.first_s,
        "last_s": watch.last_s,
        "end_s": time.monotonic() - watch.began_s,
        "tenth_mib": watch.tenth_mib,
        "peak_mib": peak_mib(),
        "stages": json.loads((output / "run.json").read_bytes())["stage_seconds"],
    }


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def make_echo(folder: Path, **options: Any) -> None:
    """Make a model that answers everybody with the same document, and the plugin that runs it."""
    from olpipe.model import ModelConfig, ModelName
    from olpipe.store.library import Library
    from olpipe.testing.install import install_plugin

    (folder / "site").mkdir()
    install_plugin(folder / "site", "echo", "olpipe.testing.echo")
    library = Library(folder / "home" / "models", cache=folder / "home" / "cache")
    layer = library.add_bytes(json.dumps({**options, "document": DOCUMENT}).encode())
    config = ModelConfig(model_format="echo", capabilities=("completion", "vision"), languages=("en",))
    library.commit(ModelName.parse("echo"), config, [replace(layer, name="echo.json")])


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write photos of a size that all differ, a thousand to a folder."""
    draw = photo_drawer(size)
    for number in range(count):
        path = folder / f"{number // EACH_FOLDER:04}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(number, path)


def photo_drawer(size: tuple[int, int]) -> Callable[[int, Path], None]:
    """Return a function that writes the photo of a number: clouds of its own."""
    from PIL import Image

    small = (size[0] // 4, size[1] // 4)

    def draw(number: int, path: Path) -> None:
        noise = random.Random(number).randbytes(small[0] * small[1])
        clouds = Image.frombytes("L", small, noise).resize(size, Image.Resampling.BICUBIC)
        flip = clouds.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        Image.merge("RGB", (clouds, flip, clouds)).save(path, quality=90)

    return draw


if __name__ == "__main__":
    sys.exit(main())
