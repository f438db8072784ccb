"""Import onnxruntime-genai. It comes in several distributions, and any of them will do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from olpipe.default_plugins.packages import read_model
from olpipe.errors import BackendMissing, ModelCorrupt
from olpipe.model import LoadOptions, ModelBundle
from olpipe.sessions import CPU, missing_device

INSTALL = "pip install 'olpipe[cpu]'  (or [cuda], [directml])"

# What the runtime calls a device, and the function that says whether it can compute on it.
_PROVIDERS = {"cuda": ("cuda", "is_cuda_available"), "directml": ("dml", "is_dml_available")}

_DECODER = "decoder"


def import_runtime() -> Any:
    """Return the `onnxruntime_genai` module, with its telemetry off.

    Raises:
        BackendMissing: None of its distributions is installed, or it does not start on this machine.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime_genai
    except ModuleNotFoundError as error:
        raise BackendMissing("onnxruntime-genai is not installed", hint=f"run `{INSTALL}`") from error
    except (ImportError, OSError) as error:
        raise BackendMissing(f"onnxruntime-genai cannot start: {error}", hint=f"run `{INSTALL}`") from error
    disable = getattr(onnxruntime_genai, "disable_telemetry_events", None)
    if disable is not None:
        disable()
    return onnxruntime_genai


def use_device(runtime: Any, config: Any, device: str) -> None:
    """Let a model compute on a device, whatever its package says.

    Args:
        runtime: The module `onnxruntime_genai`.
        config: Its configuration of the model, which is changed.
        device: A key of `olpipe.sessions.DEVICES`; empty leaves the configuration as it is.

    Raises:
        BackendMissing: What is installed does not compute on the device.
    """
    if not device:
        return
    config.clear_providers()  # without providers, the CPU computes
    if device != CPU:
        provider, is_available = _PROVIDERS[device]
        if not getattr(runtime, is_available)():
            raise missing_device(device)
        config.append_provider(provider)


def load_model(
    runtime: Any, package: Path, bundle: ModelBundle, options: LoadOptions, *, changes: Mapping[str, Any] | None = None
) -> Any:
    """Return a loaded model of the runtime.

    Args:
        runtime: The module `onnxruntime_genai`.
        package: The folder of the package.
        bundle: The model.
        options: How to load it.
        changes: What the table `model` of its configuration shall say instead.

    Raises:
        BackendMissing: The runtime does not compute on the device.
        ModelCorrupt: The package is damaged.
    """
    try:
        config = runtime.Config(str(package))
        use_device(runtime, config, options.device)
        overlay = _settings(read_model(package), options) | dict(changes or {})
        if overlay:
            config.overlay(orjson.dumps({"model": overlay}).decode())
        return runtime.Model(config)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error


def new_generator(runtime: Any, model: Any, max_length: int) -> Any:
    """Return a generator of the runtime: a sequence of tokens with its KV cache.

    Args:
        runtime: The module `onnxruntime_genai`.
        model: Its loaded model.
        max_length: How many tokens of prompt and answer to have room for.
    """
    params = runtime.GeneratorParams(model)
    params.set_search_options(max_length=max_length, do_sample=False)
    return runtime.Generator(model, params)


def _settings(model: Mapping[str, Any], options: LoadOptions) -> dict[str, Any]:
    """Return what the parts of a package shall do in another way than their own settings say.

    A part without settings takes those of the decoder. The CPU is the only device that all parts can be moved to. For
    another one, parts with settings of their own stay where the package has them.

    Args:
        model: The table `model` of its configuration.
        options: How to load it.
    """
    threads = {"intra_op_num_threads": options.threads} if options.threads else {}
    device: dict[str, Any] = {"provider_options": []} if options.device == CPU else {}
    changed = {name: threads | device for name, part in model.items() if _has_settings(part)}
    changed[_DECODER] = threads  # its device is changed by `use_device`
    return {name: {"session_options": settings} for name, settings in changed.items() if settings}


def _has_settings(part: Any) -> bool:
    return isinstance(part, dict) and "session_options" in part
