"""The report of a run: counts, where the time went, tokens, versions. It is written to `run.json`."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from olpipe import __version__
from olpipe.errors import OutputUnavailable
from olpipe.generation import Timings, Usage
from olpipe.pipeline.output import writing
from olpipe.record import Copy, Failure, Outcome, token_counts

REPORT_NAME = "run.json"
_BEGINNING = b'{\n  "status": "'
PACKAGES = (
    *("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml", "onnxruntime", "onnxruntime-gpu"),
    *("onnxruntime-directml", "llguidance", "pillow", "pillow-heif", "rawpy", "numpy"),
)

Status = Literal["complete", "interrupted", "stopped"]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many photos of a run are in which state.

    Attributes:
        found: Photos that were found.
        wanted: Photos that the run had to bring to an outcome: all of them, or the first ones up to a limit.
        records_before: Photos that had a record before the run.
        failures_before: Photos that had failed before the run and were not tried again.
        records: Photos that got a record in this run.
        failures: Photos that failed in this run.
        equal: Photos among `records` and `failures` that got the outcome of another photo with the same bytes.
        copied: Photos among `records` and `failures` that got a copy of the outcome of one that looks the same.
        renamed: Photos that had a row under another name.
        unsure: Photos with a record, of any run, that perceivers are unsure of; counted at the end of a run.
        unrecognised: Photos with a record, of any run, in which nothing was recognised; counted at the end of a run.
        approved: Photos whose record a person has approved as the model wrote it; counted at the end of a run.
        edited: Photos whose record a person has corrected; counted at the end of a run.
        rejected: Photos whose record a person has rejected; counted at the end of a run.
    """

    found: int = 0
    wanted: int = 0
    records_before: int = 0
    failures_before: int = 0
    records: int = 0
    failures: int = 0
    equal: int = 0
    copied: int = 0
    renamed: int = 0
    unsure: int = 0
    unrecognised: int = 0
    approved: int = 0
    edited: int = 0
    rejected: int = 0

    @property
    def done(self) -> int:
        """Photos with an outcome, from this run or an earlier one."""
        return self.records_before + self.failures_before + self.records + self.failures

    @property
    def left(self) -> int:
        """Wanted photos without an outcome."""
        return self.wanted - self.done


@dataclass(slots=True)
class Tally:
    """Adds up outcomes as they come."""

    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    read_ns: int = 0
    image_ns: int = 0
    ground_ns: int = 0
    page_ns: int = 0
    worked: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    started_s: float = field(default_factory=time.time)
    started_ns: int = field(default_factory=time.monotonic_ns)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome that the executor gave."""
        if isinstance(outcome, Copy):
            self.image_ns += outcome.image_ns
            self.page_ns += outcome.thumbnail_ns
            return
        self.worked += 1
        if isinstance(outcome, Failure):
            self.kinds[outcome.kind.value] += 1
            return
        self.usage += outcome.usage
        self.timings += outcome.timings
        self.image_ns += outcome.image_ns
        self.ground_ns += outcome.ground_ns
        self.page_ns += outcome.thumbnail_ns

    def to_json(self, status: Status, counts: Counts, *, write_ns: int) -> dict[str, Any]:
        """Return the run's report."""
        seconds = (time.monotonic_ns() - self.started_ns) / 1e9
        generated = self.usage.sampled_tokens + self.usage.forced_tokens
        stages = {"read": self.read_ns, "image": self.image_ns, "ground": self.ground_ns}
        spent = asdict(self.timings)
        reused = spent.pop("reused_tokens")
        stages |= {name.removesuffix("_ns"): value for name, value in spent.items()}
        stages |= {"write": write_ns, "page": self.page_ns}
        return {
            "status": status,
            "started": datetime.fromtimestamp(self.started_s, UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "photos": {**asdict(counts), "left": counts.left},
            "failure_kinds": dict(self.kinds),
            "images_per_second": round(self.worked / seconds, 3) if seconds else 0.0,
            "stage_seconds": {name: round(value / 1e9, 3) for name, value in stages.items()},
            "tokens": {**token_counts(self.usage), "reused_tokens": reused},
            "forced_share": round(self.usage.forced_tokens / generated, 4) if generated else 0.0,
            "reused_share": round(reused / self.usage.prompt_tokens, 4) if self.usage.prompt_tokens else 0.0,
        }


def versions() -> dict[str, str]:
    """Return the versions of all packages that may have a part in a record."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"olpipe": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def refuse_other_report(output: Path) -> None:
    """Refuse an output folder where a file has the report's name and is no report.

    What a full disk or a power cut left of a report is taken for one.

    Raises:
        OutputUnavailable: There is such a file.
    """
    import orjson

    path = output / REPORT_NAME
    try:
        with writing(output):
            data = path.read_bytes()
    except OutputUnavailable:
        if not path.exists():
            return  # there is no report yet, or no such folder
        raise
    try:
        report = orjson.loads(data)
        ours = isinstance(report, dict) and {"status", "photos", "versions"} <= report.keys()
    except orjson.JSONDecodeError:
        ours = _BEGINNING.startswith(data[: len(_BEGINNING)]) or not data.strip(b"\0")
    if not ours:
        message = f"`{path}` is no report of a run, and is not replaced"
        raise OutputUnavailable(message, hint="move it away, or give another folder with `-o`")


def write_report(output: Path, report: Mapping[str, Any]) -> None:
    """Replace the last run's report by this one, atomically.

    Raises:
        DiskFull: There was no space for the report.
        OutputUnavailable: The report cannot be written.
    """
    import orjson

    fresh = output / f"{REPORT_NAME}.new"
    with writing(output):
        fresh.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        os.replace(fresh, output / REPORT_NAME)
