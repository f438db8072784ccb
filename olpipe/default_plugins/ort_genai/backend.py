"""Run packages of ONNX Runtime GenAI, as people export and publish them."""

from __future__ import annotations

import logging

from olpipe.default_plugins.ort_genai.seeing_types import refusal, shortcoming
from olpipe.default_plugins.packages import read_model
from olpipe.interfaces import Backend, ProgressCallback, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.store.package_checks import CONFIG_NAME

logger = logging.getLogger(__name__)

_VISION = "vision"

# The parts of a package that hears, or that is no decoder.
_OTHER_PARTS = ("speech", "embedding", "encoder")


class OrtGenaiBackend(Backend):
    """Runs packages that consist of a text decoder, and some types of packages that see."""

    name = "ort-genai"
    version = "1"
    architectures: frozenset[str] = frozenset()  # it runs no GGUF files

    def __init__(self) -> None:
        self._told: set[str] = set()  # the digests of models whose shortcoming was told

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Say why this backend cannot run a model, by the configuration of its package."""
        if not (bundle.path / CONFIG_NAME).is_file():
            return f"it has no {CONFIG_NAME}"
        try:
            model = read_model(bundle.path)
        except (OSError, ValueError) as error:
            return f"its {CONFIG_NAME} cannot be used: {error}"
        kind = model.get("type", "unknown")
        if _VISION in model:
            return refusal(str(kind), model)
        for part in _OTHER_PARTS:
            if part in model:
                return f"a package of type `{kind}` with a part `{part}` is not run yet, only text decoders are"
        if "decoder" not in model:
            return f"a package of type `{kind}` has no text decoder"
        return None

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Make nothing: a package is run as it is. But say once for each model what the runtime computes wrongly."""
        if not _sees(bundle) or bundle.digest in self._told:
            return
        self._told.add(bundle.digest)
        if reason := shortcoming(str(read_model(bundle.path).get("type"))):
            message = "`%s` sees worse here than it should: %s. Use a GGUF file of the model instead"
            logger.warning(message, bundle.name, reason)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a package in this process."""
        if _sees(bundle):
            from olpipe.default_plugins.ort_genai.seeing_runner import SeeingRunner

            return SeeingRunner(bundle.path, bundle, options)
        from olpipe.default_plugins.ort_genai.runner import TextRunner

        return TextRunner(bundle.path, bundle, options)


def _sees(bundle: ModelBundle) -> bool:
    """Say whether a package has a vision encoder. One that cannot be read has none: it is told when it is loaded."""
    try:
        return _VISION in read_model(bundle.path)
    except (OSError, ValueError):
        return False
