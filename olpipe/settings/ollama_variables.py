"""Variables of Ollama's environment that change nothing here, and why.

Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go
"""

from __future__ import annotations

from collections.abc import Mapping

_CLOUD = "olpipe runs models on this machine only and knows no cloud"
_GPU = "ONNX Runtime itself decides which part of a model runs where"
_RUNTIME = "the installed ONNX Runtime decides which libraries run a model"
_FIT = "olpipe does not split a model between the memory of a GPU and that of the machine"

WITHOUT_EFFECT: Mapping[str, str] = {
    "OLLAMA_TMPDIR": "olpipe unpacks no runners; TMPDIR says where temporary files lie",
    "OLLAMA_FLASH_ATTENTION": "ONNX Runtime chooses how attention is computed",
    "OLLAMA_LLM_LIBRARY": _RUNTIME,
    "OLLAMA_LIBRARY_PATH": _RUNTIME,
    "OLLAMA_MAX_VRAM": _FIT,
    "OLLAMA_SCHED_SPREAD": _GPU,
    "OLLAMA_GPU_OVERHEAD": _GPU,
    "OLLAMA_IGPU_ENABLE": _GPU,
    "OLLAMA_VULKAN": _GPU,
    "LLAMA_ARG_FIT": _FIT,
    "LLAMA_ARG_FIT_TARGET": _FIT,
    "OLLAMA_GO_TEMPLATE": "olpipe always renders the model's own chat template",
    "OLLAMA_EXPERIMENT": "olpipe has no experiments to switch on",
    "OLLAMA_NO_CLOUD": _CLOUD,
    "OLLAMA_REMOTES": _CLOUD,
    "OLLAMA_AUTH": _CLOUD,
    "OLLAMA_CLOUD_BASE_URL": _CLOUD,
}


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that is set and changes nothing."""
    return [f"{name} has no effect: {why}" for name, why in WITHOUT_EFFECT.items() if environment.get(name, "").strip()]
