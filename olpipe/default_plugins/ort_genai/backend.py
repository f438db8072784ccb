"""Run packages of ONNX Runtime GenAI, as people export and publish them."""

from __future__ import annotations

from olpipe.default_plugins.packages import read_model
from olpipe.interfaces import Backend, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.store.package_checks import CONFIG_NAME

# The parts of a package that is more than a text decoder.
_OTHER_PARTS = ("vision", "speech", "embedding", "encoder")


class OrtGenaiBackend(Backend):
    """Runs packages that consist of a text decoder."""

    name = "ort-genai"
    version = "1"

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Say why this backend cannot run a model, by the configuration of its package."""
        if not (bundle.path / CONFIG_NAME).is_file():
            return f"it has no {CONFIG_NAME}"
        try:
            model = read_model(bundle.path)
        except (OSError, ValueError) as error:
            return f"its {CONFIG_NAME} cannot be used: {error}"
        kind = model.get("type", "unknown")
        for part in _OTHER_PARTS:
            if part in model:
                return f"a package of type `{kind}` with a part `{part}` is not run yet, only text decoders are"
        if "decoder" not in model:
            return f"a package of type `{kind}` has no text decoder"
        return None

    def load(self, bundle: ModelBundle, options: LoadOptions) -> Runner:
        """Load a package in this process."""
        from olpipe.default_plugins.ort_genai.runner import TextRunner

        return TextRunner(bundle.path, bundle, options)
