"""The model that is asked: bring it here, and say what `Asker` must know of one that sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from olpipe.errors import ModelNotFound

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.engine.manager import Engine
    from olpipe.interfaces import ProgressCallback
    from olpipe.model import ModelBundle, RunnerInfo


def bundle_of(app: App, model: str, engine: Engine, progress: ProgressCallback) -> ModelBundle:
    """Return a model. One that is not here, and that no plugin offers, is asked for in a registry.

    Raises:
        ModelNotFound: It is not there either, or nobody answers there.
    """
    from olpipe.store.resolve import pull_missing

    try:
        return engine.bundle(model)
    except ModelNotFound as missing:
        pull_missing(model, missing, app.library, app.plugins, progress)
    return engine.bundle(model)


def sees(bundle: ModelBundle) -> bool:
    """Say whether a model itself sees photos. Only such a model has to be loaded before it is asked something."""
    return "vision" in bundle.config.capabilities


def sight(app: App, bundle: ModelBundle, info: RunnerInfo, *, backend: str) -> dict[str, Any]:
    """Return the arguments of `Asker` about the eyes of a model.

    Args:
        app: What all commands share.
        bundle: The model.
        info: What the loaded model says of itself.
        backend: The backend that was asked for; empty takes the first that can.
    """
    if not sees(bundle):
        return {}
    from olpipe.asking.interpreting import finding_about, interpreter
    from olpipe.image import USUAL_PIXELS
    from olpipe.store.findings import Findings

    findings = Findings(app.settings.models_folder)
    finding = finding_about(bundle, app.plugins.backends, findings, backend=backend)
    return {"model_pixels": info.fit_pixels or USUAL_PIXELS, "interpreter": interpreter(info, finding)}
