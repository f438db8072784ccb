"""A model that llama.cpp has loaded: its weights, its adapter and its projector."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe_llamacpp.library import Library, library


class Weights:
    """The loaded files of one model.

    Attributes:
        library: llama.cpp.
        vocab_size: How many logits it gives.
        projector: Its vision encoder; None where it has none.
        threads: CPU threads of a forward.
    """

    def __init__(
        self, model: Path, *, adapter: Path | None, projector: Path | None, threads: int, image_tokens: int
    ) -> None:
        """Load the files.

        Args:
            model: The GGUF file of the text model.
            adapter: The GGUF file of its low-rank adapter; None for none.
            projector: The GGUF file of its vision encoder; None for none.
            threads: CPU threads of a forward.
            image_tokens: Most tokens of one image; 0 takes what the projector says.

        Raises:
            BackendMissing: The wheel is not installed, or is of another version.
            ModelCorrupt: A file is damaged.
            ModelUnsupported: llama.cpp cannot run the model.
        """
        self.library: Library = library()
        self.threads = threads
        self.projector: Any = None
        self._adapter: Any = None
        call = self.library.call
        self._model = self._loaded(
            model, lambda: call.llama_model_load_from_file(_name(model), call.llama_model_default_params())
        )
        if call.llama_model_has_encoder(self._model):
            raise ModelUnsupported(f"`{model}` reads with an encoder, and this backend runs decoders only")
        self.vocab_size: int = call.llama_vocab_n_tokens(call.llama_model_get_vocab(self._model))
        if adapter is not None:
            self._adapter = self._loaded(adapter, lambda: call.llama_adapter_lora_init(self._model, _name(adapter)))
        if projector is not None:
            wanted = self.library.vision_parameters(threads, image_tokens)
            self.projector = self._loaded(
                projector, lambda: call.mtmd_init_from_file(_name(projector), self._model, wanted)
            )

    def open_context(self, tokens: int) -> Any:
        """Return a new context, with a KV cache for a number of tokens. The caller frees it.

        Raises:
            ModelUnsupported: llama.cpp makes none.
        """
        call = self.library.call
        context = call.llama_init_from_model(self._model, self.library.context_parameters(tokens))
        if not context:
            raise ModelUnsupported(f"llama.cpp makes no context of {tokens} tokens: {self.library.told}")
        call.llama_set_n_threads(context, self.threads, self.threads)
        if self._adapter is not None:
            call.llama_set_adapters_lora(context, (ctypes.c_void_p * 1)(self._adapter), 1, (ctypes.c_float * 1)(1.0))
        return context

    def close(self) -> None:
        """Free everything. No context may be open."""
        call = self.library.call
        if self.projector:
            call.mtmd_free(self.projector)
        if self._model:
            call.llama_model_free(self._model)  # its adapter goes with it
        self._model = self.projector = self._adapter = None

    def _loaded(self, path: Path, load: Callable[[], Any]) -> Any:
        self.library.told = ""
        found = load()
        if not found:
            reason = self.library.told or "it does not say why"
            raise ModelCorrupt(f"llama.cpp cannot load `{path}`: {reason}", hint="pull the model again")
        return found


def _name(path: Path) -> bytes:
    return str(path).encode()
