"""Choose how a model that sees is asked for boxes: as its family says them, or as `olpipe doctor` found."""

from __future__ import annotations

from dataclasses import replace

from olpipe.guidance.interpreter import Interpreter
from olpipe.interfaces import Backend
from olpipe.model import ModelBundle, RunnerInfo
from olpipe.registry import Registry
from olpipe.store.build import backend_for
from olpipe.store.findings import Finding, Findings, makers

SAYS_WRONG_BOXES = "says wrong boxes, as `olpipe doctor` found"


def interpreter(info: RunnerInfo, finding: Finding | None) -> Interpreter:
    """Return the interpreter for a model.

    Args:
        info: What its runner says of it.
        finding: What `olpipe doctor` found out about it; None where that is not known.
    """
    if info.boxes is None or finding is None:
        return Interpreter(info)
    return Interpreter(replace(info, boxes=finding.dialect(info.boxes)), boxless=SAYS_WRONG_BOXES)


def finding_about(
    bundle: ModelBundle, backends: Registry[Backend], findings: Findings, *, backend: str = ""
) -> Finding | None:
    """Return what `olpipe doctor` found out about a model on the backend that runs it; None where that is not known.

    Args:
        bundle: The model.
        backends: All backends.
        findings: What was found.
        backend: The backend that was asked for; empty takes the first that can.
    """
    runs = backend_for(bundle, backends, backend)
    with backends.blaming(runs.name):
        family = runs.family_of(bundle)
    return findings.about(bundle.digest, makers(runs, family))
