"""Kill a batch many times, and check that every photo ends up exactly once in every sink.

    python benchmarks/kills.py [--kills 200] [--seed 1] [--folder FOLDER]

`olpipe batch` runs as a process of its own, with a small model that answers slowly, the page, and the sinks `jsonl`,
`csv`, `sqlite` and `sidecar`. `parquet` and `coco` join where what they need is installed. Again and again, new photos
arrive, some are renamed or drawn anew, the same command is started, and its whole process group gets SIGKILL. The
moments come from a seed, and each kill has its own: a part of them falls anywhere between the start and the end of a
run, and the others are aimed at the work, at the writing of the sinks, and at the page. A run that ends before its
kill is not counted. At last, the same command runs to its end, and then:

- every photo is once in the ledger, in the page and in each sink, as other programs read them;
- rows, thumbnails and the list of files are those of a run over the same photos that nobody has killed;
- no run has said anything about damage, and no temporary file is left.

After each kill, a copy of the ledger has to be whole, and to hold all outcomes that it had before. It prints in which
part of a run the kills fell, and all faults.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from kills_checks import differences, kept_outcomes
from pipeline import make_echo, photo_drawer

ROOT = Path(__file__).parents[1]
SINKS = ("jsonl", "csv", "sqlite", "sidecar")
PLUGIN_SINKS = {"parquet": ("olpipe-parquet", "pyarrow"), "coco": ("olpipe-coco", "orjson")}
"""Sinks that plugins bring, each with its project and the module that it needs."""

PARTS = ("the start", "the work", "the sinks", "the page", "the end")
START, WORK, WRITING, PAGE, END = range(len(PARTS))

# An installed plugin that writes down in which part of a run the process is. The byte outlives the process.
MARKING = f"""
import mmap, os, sys

def during(owner, name, part, then=None):
    act = getattr(owner, name)
    def acting(*arguments, **options):
        before, marker[0] = marker[0], part
        try:
            return act(*arguments, **options)
        finally:
            marker[0] = before if then is None else then
    setattr(owner, name, acting)

if "batch" in sys.argv:  # not in the process of the model
    from olpipe.pipeline.page.page import Page
    from olpipe.pipeline.write import Writer

    with open(os.environ["KILLS_MARKER"], "r+b") as file:
        marker = mmap.mmap(file.fileno(), 1)
    marker[0] = {START}
    during(Writer, "reach", {START}, then={WORK})
    during(Writer, "append", {WRITING})
    during(Writer, "flush", {WRITING})
    during(Page, "write", {PAGE}, then={END})
"""
DELAY_S = 0.004
"""How long the model sleeps before each word of an answer."""

MOST_WAIT_S = 120.0
MOST_FAULTS = 20


def main() -> int:
    """Kill a batch as often as is asked for, and say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="where the moments of the kills come from")
    parser.add_argument("--folder", type=Path, help="where files are written; they stay there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(given.folder or Path(name), given.seed)
        started_s = time.monotonic()
        faults = trial.run(given.kills)
        print(trial.told(), f"It took {time.monotonic() - started_s:.0f} s.")
    for fault in faults:
        print(fault)
    print("every photo is exactly once in every sink" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


@dataclass(slots=True)
class Trial:
    """One batch that is killed again and again.

    Attributes:
        folder: Where all files lie.
        seed: Where photos and moments come from.
        fell: How many kills fell in each part of a run.
        ended: How many runs ended before their kill.
        plugin_sinks: The sinks of plugins that join where what they need is installed.
        sinks: All sinks.
    """

    folder: Path
    seed: int
    fell: Counter[int] = field(default_factory=Counter)
    ended: int = 0
    plugin_sinks: Sequence[str] = tuple(PLUGIN_SINKS)
    sinks: tuple[str, ...] = SINKS
    _drawn: int = 0
    _whole_s: float = 2.0

    def run(self, kills: int) -> list[str]:
        """Kill the batch so many times, let it end, and return what is wrong."""
        self._prepare()
        faults: list[str] = []
        runs = outcomes = 0
        while self.fell.total() < kills and len(faults) < MOST_FAULTS:
            chance = random.Random(f"{self.seed}/{runs}")
            self._change_photos(chance)
            said = self._killed(chance)
            before, outcomes = outcomes, kept_outcomes(self.folder / "out", self.folder / "copy")
            said += f"; {before - outcomes} outcomes are lost" if outcomes < before else ""
            faults += [f"run {runs} of the seed {self.seed}: {said}"] if said else []
            runs += 1
            print(f"run {runs}: {self.fell.total()} kills, {said or 'no fault'}", file=sys.stderr, flush=True)
        faults += filter(None, [self._whole("out"), self._whole("undisturbed")])
        names = [path.relative_to(self._photos).as_posix() for path in self._photos.rglob("*.jpg")]
        return faults + differences(self.folder / "out", self.folder / "undisturbed", sorted(names), self.sinks)

    def told(self) -> str:
        """Return where the kills fell."""
        parts = ", ".join(f"{self.fell[part]} in {name}" for part, name in enumerate(PARTS))
        photos = sum(1 for _ in self._photos.rglob("*.jpg"))
        return (
            f"{self.fell.total()} kills: {parts}. {self.ended} runs ended before their kill. "
            f"{photos} photos, seed {self.seed}, sinks {', '.join(self.sinks)}."
        )

    @property
    def _photos(self) -> Path:
        return self.folder / "photos"

    def _prepare(self) -> None:
        """Make the model, the plugins, and the first photos; and measure how long a run takes."""
        from olpipe.testing.install import install_plugin, install_project

        self.folder.mkdir(parents=True, exist_ok=True)
        make_echo(self.folder, slots=2, delay_s=DELAY_S)
        site = self.folder / "site"
        (site / "marking.py").write_text(MARKING, encoding="utf-8")
        install_plugin(site, "marking", "marking")
        (self.folder / "marker").write_bytes(b"\0")
        for sink in self.plugin_sinks:
            project, module = PLUGIN_SINKS[sink]
            if find_spec(module):
                install_project(site, ROOT / "plugins" / project)
                self.sinks = (*self.sinks, sink)
        self._draw(4)
        started_s = time.monotonic()
        assert not (fault := self._whole("first")), fault
        self._whole_s = time.monotonic() - started_s

    def _change_photos(self, chance: random.Random) -> None:
        """Add some photos. Now and then, rename one, or draw one anew."""
        self._draw(chance.randint(1, 3))
        there = sorted(self._photos.rglob("*.jpg"))
        if chance.random() < 0.15:
            chosen = chance.choice(there)
            chosen.rename(chosen.with_stem(f"{chosen.stem}-renamed"))
        elif chance.random() < 0.15:
            self._draw(1, over=chance.choice(there))

    def _draw(self, count: int, over: Path | None = None) -> None:
        """Write photos that all differ, in several folders, in an order that is not that of their names."""
        draw = photo_drawer((64, 48))
        for _ in range(count):
            number, self._drawn = self._drawn, self._drawn + 1
            path = over or self._photos / f"{number % 7}" / f"{number * 7919 % 10_000:04}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(number, path)

    def _killed(self, chance: random.Random) -> str:
        """Start the command, kill it at a moment, and return what is wrong with what it said."""
        part = chance.choice((None, None, WORK, WRITING, PAGE))
        wait_s = chance.uniform(0, 0.06) if part else chance.uniform(0, 1.1 * self._whole_s)
        with (self.folder / "marker").open("r+b") as file, mmap.mmap(file.fileno(), 1) as marker:
            marker[0] = START
            process = self._started("out")
            until_s = time.monotonic() + MOST_WAIT_S
            while part and marker[0] < part and process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.0005)
            if process.poll() is None:
                time.sleep(wait_s)
            was = marker[0]
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        said = process.communicate()[1]
        if process.returncode == -signal.SIGKILL:
            self.fell[was] += 1
        else:
            self.ended += 1
        return _complaint(said, (0, -signal.SIGKILL), process.returncode)

    def _whole(self, output: str) -> str:
        """Run the command to its end, and return what is wrong with what it said."""
        process = self._started(output)
        said = process.communicate()[1]
        return _complaint(said, (0,), process.returncode)

    def _started(self, output: str) -> subprocess.Popen[str]:
        paths = [
            str(self.folder / "site"),
            *(str(ROOT / "plugins" / name / "src") for name, _ in PLUGIN_SINKS.values()),
        ]
        environment = {
            **os.environ,
            "OLPIPE_HOME": str(self.folder / "home"),
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "KILLS_MARKER": str(self.folder / "marker"),
        }
        sinks = [word for sink in self.sinks for word in ("--sink", sink)]
        command = ["batch", str(self._photos), "-o", str(self.folder / output), "--model", "echo", *sinks]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "olpipe", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )


def _complaint(said: str, codes: Sequence[int], code: int) -> str:
    """Return what a run said that it must not say, and how it ended where that is wrong."""
    bad = ("error:", "Traceback", "was not as the last run left it", "changed by hand", "damaged", "lost")
    lines = [line for line in said.splitlines() if any(word in line for word in bad)]
    if code not in codes:
        lines.append(f"exit code {code}: {said[-500:]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
