"""llama.cpp's functions, called through the library in the wheel `xllamacpp`.

The wheel's own Python interface is a server, which shows no logits. Its library has llama.cpp's C functions, which do.
Parameters are structures that grow with each release. So they are never built here: llama.cpp fills in its defaults,
and the few numbers that are changed are checked to lie where this module expects them.

Source: https://github.com/ggml-org/llama.cpp/blob/master/include/llama.h and tools/mtmd/mtmd.h
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import struct
from collections.abc import Mapping
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_size_t, c_ubyte, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from olpipe.errors import BackendMissing

logger = logging.getLogger(__name__)

ERROR = 4
"""The level of messages in llama.cpp's log that tell of an error."""

BATCH = 512
"""Most tokens of one forward."""

_INSTALL = "run `pip install 'xllamacpp>=2026.10,<2026.11'`"
_CONTEXT_DEFAULTS = struct.pack("<4I", 512, 2048, 512, 1)
"""How the defaults of a context begin: tokens that it holds, two sizes of batches, and sequences."""

_VISION_AT, _VISION_DEFAULTS = 40, struct.pack("<4i", -1, 1, -1, -1)
"""Four defaults of a projector, and where they lie: flash attention, warming up, least and most tokens of an image."""

_VISION_THREADS_AT, _VISION_TOKENS_AT = 20, 52


class Parameters(ctypes.Structure):
    """A structure of parameters. It has more room than any of them needs, and llama.cpp looks only at what it knows."""

    _fields_ = (("bytes", c_ubyte * 1024),)


class Batch(ctypes.Structure):
    """Tokens for one forward, all of sequence 0."""

    _fields_ = (
        ("count", c_int32),
        ("tokens", POINTER(c_int32)),
        ("embeddings", POINTER(c_float)),
        ("positions", POINTER(c_int32)),
        ("sequence_counts", POINTER(c_int32)),
        ("sequences", POINTER(POINTER(c_int32))),
        ("outputs", POINTER(c_int8)),
    )


class MediaText(ctypes.Structure):
    """A text with the places of images, for the projector."""

    _fields_ = (("text", c_char_p), ("length", c_size_t), ("add_special", c_bool), ("parse_special", c_bool))


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)

# Each function, with the type that it returns and those of its arguments.
_FUNCTIONS: Mapping[str, tuple[Any, ...]] = {
    "llama_backend_init": (None,),
    "llama_log_set": (None, _LOG, c_void_p),
    "llama_model_default_params": (Parameters,),
    "llama_model_load_from_file": (c_void_p, c_char_p, Parameters),
    "llama_model_free": (None, c_void_p),
    "llama_model_get_vocab": (c_void_p, c_void_p),
    "llama_vocab_n_tokens": (c_int32, c_void_p),
    "llama_model_has_encoder": (c_bool, c_void_p),
    "llama_adapter_lora_init": (c_void_p, c_void_p, c_char_p),
    "llama_set_adapters_lora": (c_int32, c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float)),
    "llama_context_default_params": (Parameters,),
    "llama_init_from_model": (c_void_p, c_void_p, Parameters),
    "llama_free": (None, c_void_p),
    "llama_set_n_threads": (None, c_void_p, c_int32, c_int32),
    "llama_decode": (c_int32, c_void_p, Batch),
    "llama_get_logits_ith": (POINTER(c_float), c_void_p, c_int32),
    "llama_get_memory": (c_void_p, c_void_p),
    "llama_memory_seq_rm": (c_bool, c_void_p, c_int32, c_int32, c_int32),
    "llama_memory_clear": (None, c_void_p, c_bool),
    "mtmd_helper_log_set": (None, _LOG, c_void_p),
    "mtmd_default_marker": (c_char_p,),
    "mtmd_context_params_default": (Parameters,),
    "mtmd_init_from_file": (c_void_p, c_char_p, c_void_p, Parameters),
    "mtmd_free": (None, c_void_p),
    "mtmd_support_vision": (c_bool, c_void_p),
    "mtmd_bitmap_init": (c_void_p, c_uint32, c_uint32, c_void_p),
    "mtmd_bitmap_free": (None, c_void_p),
    "mtmd_input_chunks_init": (c_void_p,),
    "mtmd_input_chunks_free": (None, c_void_p),
    "mtmd_helper_get_n_tokens": (c_size_t, c_void_p),
    "mtmd_helper_get_n_pos": (c_int32, c_void_p),
    "mtmd_tokenize": (c_int32, c_void_p, c_void_p, POINTER(MediaText), POINTER(c_void_p), c_size_t),
    "mtmd_helper_eval_chunks": (
        *(c_int32, c_void_p, c_void_p, c_void_p, c_int32, c_int32, c_int32, c_bool),
        POINTER(c_int32),
    ),
}


class Library:
    """llama.cpp. There is one in a process.

    Attributes:
        call: Its functions, by their names.
        told: The first message of its log that told of an error since this was empty. Later ones say less.
    """

    def __init__(self, path: Path) -> None:
        """Open the library.

        Raises:
            BackendMissing: It does not have the functions that are needed, or has other ones under their names.
        """
        self.told = ""
        try:
            self.call: Any = ctypes.CDLL(str(path))
            for name, (result, *arguments) in _FUNCTIONS.items():
                function = getattr(self.call, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise BackendMissing(f"llama.cpp's functions cannot be called: {error}", hint=_INSTALL) from error
        self._listener = _LOG(self._listen)  # llama.cpp keeps its address
        self.call.llama_log_set(self._listener, None)
        self.call.mtmd_helper_log_set(self._listener, None)
        self.call.llama_backend_init()
        context = bytes(self.call.llama_context_default_params().bytes)
        vision = bytes(self.call.mtmd_context_params_default().bytes)[_VISION_AT:]
        if not (context.startswith(_CONTEXT_DEFAULTS) and vision.startswith(_VISION_DEFAULTS)):
            message = "the installed version of `xllamacpp` has another llama.cpp than this backend knows"
            raise BackendMissing(message, hint=_INSTALL)

    def context_parameters(self, tokens: int) -> Parameters:
        """Return the parameters of a context that holds a number of tokens."""
        return _changed(self.call.llama_context_default_params(), 0, struct.pack("<4I", tokens, BATCH, BATCH, 1))

    def vision_parameters(self, threads: int, image_tokens: int) -> Parameters:
        """Return the parameters of a projector.

        Args:
            threads: CPU threads.
            image_tokens: Most tokens of one image; 0 takes what the projector says.
        """
        parameters = self.call.mtmd_context_params_default()
        _changed(parameters, 0, b"\0")  # no GPU
        _changed(parameters, _VISION_THREADS_AT, struct.pack("<i", threads))
        _changed(parameters, _VISION_AT + 4, b"\0")  # no forward only to warm up
        return _changed(parameters, _VISION_TOKENS_AT, struct.pack("<i", image_tokens)) if image_tokens else parameters

    def _listen(self, level: int, message: bytes, _: Any) -> None:
        """Take a message of llama.cpp's log."""
        text = message.decode(errors="replace").strip()
        logger.debug("%s", text)
        if level == ERROR and text and not self.told:
            self.told = text


def _changed(parameters: Parameters, at: int, data: bytes) -> Parameters:
    ctypes.memmove(ctypes.addressof(parameters) + at, data, len(data))
    return parameters


@cache
def library() -> Library:
    """Return llama.cpp.

    Raises:
        BackendMissing: The wheel is not installed, or is of another version.
    """
    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise BackendMissing("llama.cpp is not installed", hint=_INSTALL)
    files = sorted(Path(found.origin).parent.glob("xllamacpp*.so")) or sorted(
        Path(found.origin).parent.glob("xllamacpp*.pyd")
    )
    if not files:
        raise BackendMissing("the wheel `xllamacpp` has no library", hint=_INSTALL)
    return Library(files[0])
