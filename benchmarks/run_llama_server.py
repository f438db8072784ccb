"""Run llama.cpp's server in this process, for `llama_server.py`. It stops when its standard input ends.

    PYTHON run_llama_server.py '{"model": "model.gguf", "projector": "projector.gguf", "slots": 4, …}'

PYTHON has the package `xllamacpp`, which olpipe does not need. The address of the server is the first line of the
standard output. What llama.cpp logs goes to the standard error.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> int:
    """Serve until the standard input ends."""
    try:
        import xllamacpp
    except ImportError:
        print(f"error: {sys.executable} has no llama.cpp; run `{sys.executable} -m pip install xllamacpp`", flush=True)
        return 2
    server = xllamacpp.Server(_parameters(xllamacpp, json.loads(sys.argv[1])))
    print(server.listening_address, flush=True)
    sys.stdin.read()
    return 0


def _parameters(xllamacpp: Any, wanted: dict[str, Any]) -> Any:
    """Return llama.cpp's parameters. What is not named here has its default value."""
    found = xllamacpp.CommonParams()
    found.model.path = wanted["model"]
    if wanted["projector"]:
        found.mmproj.path = wanted["projector"]
    found.mmproj_use_gpu, found.n_gpu_layers = False, 0
    found.cpuparams.n_threads = found.cpuparams_batch.n_threads = wanted["threads"]
    found.n_parallel, found.n_ctx = wanted["slots"], wanted["slots"] * wanted["context"]
    found.kv_unified = False  # each slot has its own part of the context, as each row of olpipe's cache has
    if wanted["image_tokens"]:
        found.image_min_tokens = found.image_max_tokens = wanted["image_tokens"]
    found.cache_prompt, found.cache_ram_mib = False, 0
    if wanted["flash_attention"] != "auto":
        kinds = xllamacpp.llama_flash_attn_type
        on = wanted["flash_attention"] == "on"
        found.flash_attn_type = kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED if on else kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
    found.use_jinja, found.warmup, found.port = True, True, 0
    found.verbosity = wanted["verbosity"]
    return found


if __name__ == "__main__":
    sys.exit(main())
