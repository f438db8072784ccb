"""A server that answers about models as Ollama does, without any field of ours.

The bodies were written after a running Ollama. It keeps what it was asked.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BRIEF = {
    "parent_model": "",
    "format": "gguf",
    "family": "gemma3",
    "families": ["gemma3"],
    "parameter_size": "4.3B",
    "quantization_level": "Q4_K_M",
}
MODEL = {
    "name": "gemma3:4b",
    "model": "gemma3:4b",
    "modified_at": "2026-01-02T03:04:05.123456789-08:00",
    "size": 3_338_801_804,
    "digest": "a2af6cc3eb7fa8be8504abaf9b04e88f17a119ec3f04a3addf55f92841195f5a",
    "details": BRIEF,
}
REMOTE = {
    "name": "large:cloud",
    "model": "large:cloud",
    "remote_model": "large",
    "remote_host": "https://ollama.com:443",
    "modified_at": "0001-01-01T00:00:00Z",
    "size": 384,
    "digest": "b" * 64,
    "details": BRIEF,
}
LOADED = {
    "name": "gemma3:4b",
    "model": "gemma3:4b",
    "size": 6_000_000_000,
    "digest": MODEL["digest"],
    "details": BRIEF,
    "expires_at": "2318-06-11T10:13:25.991-07:00",
    "size_vram": 2_880_000_000,
    "context_length": 4096,
}
SHOWN = {
    "license": "Gemma Terms of Use\n\nLast modified: February 21, 2024\n\nBy using",
    "modelfile": "FROM /usr/share/ollama/blobs/sha256-x\n",
    "parameters": 'stop                           "<end_of_turn>"\ntemperature                    1',
    "template": "{{ .Prompt }}",
    "details": BRIEF,
    "model_info": {
        "gemma3.attention.head_count": 8,
        "gemma3.context_length": 131072,
        "gemma3.embedding_length": 2560,
        "general.architecture": "gemma3",
        "general.parameter_count": 4299915632,
        "tokenizer.ggml.tokens": ["<pad>", "<eos>", "<bos>", "<unk>"],
        "tokenizer.ggml.add_bos_token": True,
    },
    "projector_info": {
        "general.architecture": "clip",
        "general.parameter_count": 419821888,
        "clip.vision.embedding_length": 1152,
        "clip.vision.projection_dim": 2560,
    },
    "tensors": [{"name": "blk.0.attn_k.weight", "type": "Q4_K", "shape": [2560, 1024]}],
    "capabilities": ["completion", "vision"],
    "modified_at": MODEL["modified_at"],
}


class OllamaStandIn:
    """The server. Use it as a context manager.

    Attributes:
        url: Its address.
        asked: The method, the path and the JSON of each request.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(data) if data else None
                outer.asked.append((self.command, self.path, body))
                status, answer = outer.answer(self.path, body)
                written = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

            do_GET = do_POST = do_DELETE = _handle

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the body of the answer to a request."""
        fixed = {
            "/api/version": {"version": "0.33.0"},
            "/api/tags": {"models": [MODEL, REMOTE]},
            "/api/ps": {"models": [LOADED]},
        }
        if path in fixed:
            return 200, fixed[path]
        name = str((body or {}).get("model") or (body or {}).get("source"))
        if path == "/api/pull":
            return 200, '{"status":"pulling manifest"}\n{"error":"pull model manifest: file does not exist"}\n'
        if name.removesuffix(":latest") != "gemma3:4b":
            return 404, {"error": f"model '{name}' not found"}
        if path == "/api/generate":
            return 200, {"model": name, "response": "", "done": True, "done_reason": "unload"}
        return 200, SHOWN if path == "/api/show" else ""

    def __enter__(self) -> OllamaStandIn:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
