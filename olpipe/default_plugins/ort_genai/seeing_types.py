"""The types of packages that see: which can be run, how their images are prepared, and what they do wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olpipe.decoding.vocabulary import Vocabulary
    from olpipe.default_plugins.ort_genai.package_eyes import PackageEyes
    from olpipe.default_plugins.ort_genai.vision_files import VisionFiles
    from olpipe.families.chat_template import TemplateFiles

# What the runtime computes in another way than the makers of a model. It was measured with its version 0.18.
# Source: https://github.com/microsoft/onnxruntime-genai/pull/2513
_SHORTCOMINGS = {
    "gemma3": "ONNX Runtime GenAI lets each part of an image see only the parts before it",
    "qwen3_vl": "ONNX Runtime GenAI leaves out the features for the first layers of the text model (deepstack)",
}

TYPES = ("fara", "gemma3", "mistral3", "phi3v", "qwen2_5_vl", "qwen3_vl")
"""The types that can be run."""


def refusal(kind: str, model: Mapping[str, Any]) -> str | None:
    """Return why a package that sees cannot be run, or None when it can.

    Args:
        kind: Its type.
        model: The table `model` of its `genai_config.json`.
    """
    if kind not in TYPES:
        known = ", ".join(f"`{one}`" for one in TYPES)
        return f"of the packages that see, a type `{kind}` is not run, only {known} are"
    for part in ("vision", "embedding", "decoder"):
        table = model.get(part)
        if not isinstance(table, dict):
            return f"a package of type `{kind}` needs a part `{part}`"
        if "pipeline" in table:
            return f"a package of type `{kind}` with a part `{part}` in several stages is not run"
    return None


def shortcoming(kind: str) -> str:
    """Return what the runtime computes in another way for a type than its makers do; empty where it does not."""
    return _SHORTCOMINGS.get(kind, "")


def eyes_for(files: VisionFiles, vocabulary: Vocabulary, template: TemplateFiles) -> PackageEyes:
    """Return what prepares the images for a package of one of the `TYPES`.

    Args:
        files: What its files say of its vision encoder.
        vocabulary: Its tokens.
        template: What its files say of its chat template.

    Raises:
        ModelCorrupt: The files contradict each other, or the type of the package.
    """
    from olpipe.default_plugins.ort_genai.gemma3 import Gemma3Eyes
    from olpipe.default_plugins.ort_genai.mistral3 import Mistral3Eyes
    from olpipe.default_plugins.ort_genai.phi3v import Phi3VEyes
    from olpipe.default_plugins.ort_genai.qwen_vl import QWEN_3, QwenEyes

    kinds: Mapping[str, Callable[[VisionFiles, Vocabulary, TemplateFiles], PackageEyes]] = {
        "gemma3": Gemma3Eyes,
        "mistral3": Mistral3Eyes,
        "phi3v": Phi3VEyes,
        "qwen3_vl": partial(QwenEyes, usual=QWEN_3),
    }
    return kinds.get(files.type, QwenEyes)(files, vocabulary, template)
