"""Say in lines or as JSON what `olpipe store` found and did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olpipe.cli import words

if TYPE_CHECKING:
    from olpipe.store.leftovers import Kind
    from olpipe.store.ollama_folder import OllamaModel
    from olpipe.store.prune import Download, Plan
    from olpipe.store.repair import Repaired
    from olpipe.store.usage import Use
    from olpipe.store.verify import Verified

_KINDS: dict[Kind, str] = {
    "blob": "blobs that no model needs",
    "view": "laid-out files of models that are gone",
    "conversion": "conversions of models that are gone, of earlier formats, or half-done",
    "facts": "notes about models that are gone",
    "damaged": "damaged blobs that were moved aside",
    "temporary": "files of processes that died",
}


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is removed.

    Attributes:
        plan: What nobody needs.
        downloads: The unfinished downloads that are given up.
        evidence: How many entries of the cache of evidence no perceiver would use, and how many bytes they have.
    """

    plan: Plan
    downloads: tuple[Download, ...]
    evidence: tuple[int, int]

    @property
    def is_something(self) -> bool:
        """Whether anything is removed."""
        return bool(self.plan.leftovers or self.downloads or self.evidence[0])

    @property
    def freed_bytes(self) -> int:
        """How many bytes of the disk that frees."""
        return self.plan.freed_bytes + sum(one.size_bytes for one in self.downloads) + self.evidence[1]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a model of Ollama's.

    Attributes:
        model: The model.
        trouble: Why it was not taken over; empty where it was.
    """

    model: OllamaModel
    trouble: str


def write_json(value: Mapping[str, Any]) -> None:
    """Write an object to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def verified(found: Verified) -> dict[str, Any]:
    """Return what was checked."""
    models = [
        {
            "model": str(one.name),
            "faults": [
                {"part": fault.part, "what": fault.what, "digest": fault.digest or None} for fault in one.faults
            ],
            "advice": one.advice or None,
        }
        for one in found.models
    ]
    return {
        "sound": found.is_sound,
        "models": models,
        "unneeded": list(found.unneeded),
        "blobs": found.blobs,
        "bytes": found.size_bytes,
    }


def verified_lines(found: Verified) -> str:
    """Return what was checked, in lines."""
    lines = []
    for model in found.models:
        if model.faults:
            lines.append(f"{model.name}: damaged")
            lines += [f"    {fault.what}" for fault in model.faults]
            lines.append(f"    {model.advice}")
    lines += [f"the blob {digest[:19]} has wrong bytes, and no model needs it" for digest in found.unneeded]
    damaged = sum(1 for model in found.models if model.faults)
    read = f"{_count(found.blobs, 'file')} read, {words.size(found.size_bytes)}"
    models = _count(len(found.models), "model")
    lines.append(f"{damaged} of {models} damaged ({read})" if damaged else f"{models} sound ({read})")
    return "\n".join(lines)


def repaired(found: Verified, done: Sequence[Repaired]) -> dict[str, Any]:
    """Return what was mended."""
    models = [{"model": str(one.name), "mended": one.mended, "lost": one.lost} for one in done]
    return {"sound": not any(one.lost for one in done), "models": models, "moved_aside": list(found.unneeded)}


def repaired_lines(found: Verified, done: Sequence[Repaired]) -> str:
    """Return what was mended, in lines."""
    lines = []
    for model in done:
        lines.append(f"{model.name}: {'lost' if model.lost else 'mended'}")
        lines += [f"    {line}" for line in model.mended]
        lines += [f"    lost: {line}" for line in model.lost]
        if model.lost:
            lines.append(f"    run `olpipe rm {model.name}`, or pull it again from where it came")
    lines += [f"the damaged blob {digest[:19]}, which no model needs, was moved aside" for digest in found.unneeded]
    return "\n".join(lines or ["nothing is damaged"])


def pruning(report: Pruning, *, removed: bool) -> dict[str, Any]:
    """Return what is removed."""
    from olpipe.store.disk import used

    return {
        "removed": removed,
        "bytes": report.freed_bytes,
        "leftovers": [
            {"kind": one.kind, "path": str(one.path), "bytes": None if removed else used(one.path)}
            for one in report.plan.leftovers
        ],
        "downloads": [_download(one) for one in report.downloads],
        "evidence": {"entries": report.evidence[0], "bytes": report.evidence[1]},
        "notes": list(report.plan.notes),
    }


def pruning_lines(report: Pruning, *, is_over: bool) -> str:
    """Return what is removed, in lines."""
    if not report.is_something:
        return "\n".join(["nothing to remove", *(f"note: {note}" for note in report.plan.notes)])
    if is_over:
        return f"removed: {words.size(report.freed_bytes)} are free now"
    from olpipe.store.disk import freed_by

    rows = [("WHAT", "NUMBER", "SIZE")]
    for kind, meaning in _KINDS.items():
        if some := report.plan.of(kind):
            rows.append((meaning, str(len(some)), words.size(freed_by(one.path for one in some))))
    for download in report.downloads:
        rows.append(
            (f"unfinished download of {download.model or 'an unknown model'}", "1", words.size(download.size_bytes))
        )
    if report.evidence[0]:
        rows.append(
            ("evidence of perceivers that are not here", str(report.evidence[0]), words.size(report.evidence[1]))
        )
    lines = [words.table(rows), *(f"note: {note}" for note in report.plan.notes)]
    return "\n".join([*lines, f"{words.size(report.freed_bytes)} in all"])


def usage(found: Use) -> dict[str, Any]:
    """Return what takes how much of the disk."""
    return {
        "total": found.total,
        "models": [
            {
                "model": str(one.name),
                "own": one.own,
                "shared": one.shared,
                "converted": one.conversion,
                "total": one.total,
            }
            for one in found.models
        ],
        "downloads": [_download(one) for one in found.downloads],
        "unneeded": found.unneeded,
        "evidence": found.evidence,
        "other": found.other,
    }


def usage_lines(found: Use) -> str:
    """Return what takes how much of the disk, in lines."""
    rows = [("NAME", "OWN", "SHARED", "CONVERTED", "TOTAL")]
    for model in found.models:
        own, shared, conversion = map(words.size, (model.own, model.shared, model.conversion))
        rows.append((str(model.name), own, shared, conversion, words.size(model.total)))
    lines = [words.table(rows)] if found.models else []
    others = [
        *((f"unfinished download of {one.model or 'an unknown model'}", one.size_bytes) for one in found.downloads),
        ("blobs that no model needs, or that are damaged", found.unneeded),
        ("evidence about photos", found.evidence),
        ("other", found.other),
    ]
    more = [(name, words.size(size)) for name, size in others if size]
    lines += ["", words.table([*more, ("all together", words.size(found.total))])]
    goes_on = [f"olpipe pull {_shell(one.source)} --name {one.model}" for one in found.downloads if one.source]
    lines += [f"to go on with a download: {command}" for command in goes_on]
    return "\n".join(lines).lstrip("\n")


def imported(folder: Path, results: Sequence[Imported], *, listed: bool) -> dict[str, Any]:
    """Return what Ollama has, and what became of it."""
    models = [
        {
            "model": str(one.model.name),
            "digest": one.model.digest or None,
            "bytes": one.model.size_bytes,
            "state": _state(one, listed=listed),
            "reason": one.trouble or None,
        }
        for one in results
    ]
    return {"folder": str(folder), "models": models}


def imported_lines(folder: Path, results: Sequence[Imported], *, listed: bool) -> str:
    """Return what Ollama has, and what became of it, in lines."""
    if not results:
        return f"Ollama has no models in `{folder}`"
    rows = [("NAME", "SIZE", "STATE")]
    for one in results:
        state = _state(one, listed=listed)
        said = f"{state}: {one.trouble}" if one.trouble else state
        rows.append((str(one.model.name), words.size(one.model.size_bytes), said))
    return words.table(rows)


def _state(one: Imported, *, listed: bool) -> str:
    if one.trouble:
        return "skipped"
    return "is here already" if one.model.is_here else "can be imported" if listed else "imported"


def _download(one: Download) -> dict[str, Any]:
    return {"model": one.model or None, "source": one.source or None, "bytes": one.size_bytes}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)
