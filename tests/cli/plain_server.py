"""A server that knows Ollama's API and nothing of olpipe's. It stands before a real one and leaves out the rest."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OURS = {
    *("product", "hint", "kind", "perceivers", "opening", "left_out", "format", "images", "queue_duration"),
    *("fit_duration", "encode_duration", "eval_forced_count", "spliced_count", "prompt_eval_cached_count"),
    *("truncated", "truncated_messages", "truncated_tokens", "context_length"),
}
"""Fields of answers that Ollama does not have, or did not have for long."""
NOT_READ = {"perceivers", "opening"}
"""Fields of requests that Ollama reads over."""


class PlainServer:
    """The server. It is a context manager.

    Attributes:
        url: Its address.
        bodies: The bodies of all requests that it got, by path.
    """

    def __init__(self, behind: str) -> None:
        """Stand in front of the server at an address."""
        self.bodies: list[tuple[str, Any]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass_on(None)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                bodies.append((self.path, body))
                self._pass_on(json.dumps({key: body[key] for key in body.keys() - NOT_READ}).encode())

            def _pass_on(self, data: bytes | None) -> None:
                request = urllib.request.Request(behind + self.path, data, method=self.command)
                try:
                    with urllib.request.urlopen(request) as reply:
                        status, lines = reply.status, reply.read().splitlines()
                except urllib.error.HTTPError as error:
                    status, lines = error.code, error.read().splitlines()
                plain = b"".join(json.dumps(_plain(json.loads(line))).encode() + b"\n" for line in lines)
                self.send_response(status)
                self.send_header("Content-Length", str(len(plain)))
                self.end_headers()
                self.wfile.write(plain)

            def log_message(self, *arguments: Any) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> PlainServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _plain(value: Any) -> Any:
    """Return JSON without the fields of ours."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in OURS}
    return [_plain(one) for one in value] if isinstance(value, list) else value
