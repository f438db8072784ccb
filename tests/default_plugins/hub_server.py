"""A hub on loopback for tests. It speaks the API of the Hugging Face hub, and has the faults that a test gives it.

Large files come from a second server, as those of the hub do. Both are registries of `registry_server`, which know how
to cut, damage and count what they send.

Source: https://huggingface.co/docs/hub/api, and the headers that huggingface_hub reads
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.store.registry_server import RegistryServer, digest_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE = (".gguf", ".onnx", ".data", ".bin", ".safetensors")


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class HubServer:
    """A hub with its storage. Use it as a context manager.

    Attributes:
        storage: Where large files come from: its `cuts`, `damages`, `statuses`, `stalls`, `sent` and `ignores_ranges`.
        front: The hub itself.
        repositories: Files by path, by repository and commit.
        revisions: The commit of a branch or tag, by repository and its name.
        cards: What the card of a repository says.
        gated: Repositories that want a token.
        token: The token that counts.
        renamed: New names of repositories.
        says_no_sizes: Whether the listing leaves out sizes and digests, as some mirrors do.
        limits: For each of the next requests to the API: `Retry-After` of a refusal.
        lies: SHA-256 that the listing claims, by path.
        small_damages: Paths of small files of which it sends other bytes.
        found: What a search answers, by filter.
    """

    def __init__(self) -> None:
        self.storage = RegistryServer()
        self.front = RegistryServer(host="127.0.0.2")
        self.front.answers[""] = self._answer
        self.url = self.front.url
        self.repositories: dict[tuple[str, str], dict[str, bytes]] = {}
        self.revisions: dict[tuple[str, str], str] = {}
        self.cards: dict[str, dict[str, Any]] = {}
        self.gated: set[str] = set()
        self.token = "hf_good"
        self.renamed: dict[str, str] = {}
        self.says_no_sizes = False
        self.limits: list[int] = []
        self.lies: dict[str, str] = {}
        self.small_damages: set[str] = set()
        self.found: dict[str, Any] = {}

    def __enter__(self) -> HubServer:
        self.storage.__enter__()
        self.front.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.front.__exit__()
        self.storage.__exit__()

    def put(self, name: str, files: Mapping[str, bytes], *, commit: str = COMMIT, revision: str = "main") -> None:
        """Put a repository in, or a further commit of one."""
        self.repositories[name, commit] = dict(files)
        self.revisions[name, revision] = commit
        for data in files.values():
            self.storage.put_blob(data)

    def asked(self, part: str) -> list[Mapping[str, str]]:
        """Return the headers of the requests to the hub whose path has a part."""
        return [headers for _, path, headers in self.front.asked if part in path]

    def sent(self, data: bytes) -> int:
        """Return how many bytes of a large file were sent."""
        return self.storage.sent[digest_of(data)]

    # --- what it answers ------------------------------------------------------------------------

    def _answer(self, handler: Any) -> None:
        address = urlsplit(handler.path)
        path = unquote(address.path)
        if path == "/api/models":
            self._search(handler, parse_qs(address.query))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._describe(handler, found[1], found[2] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(handler, *found.groups())
        else:
            handler.answer(404)

    def _search(self, handler: Any, query: Mapping[str, list[str]]) -> None:
        words = query["search"][0].lower().split()
        models = self.found.get(query["filter"][0], [])
        fitting = [model for model in models if all(word in model["id"].lower() for word in words)]
        self._json(handler, fitting[: int(query["limit"][0])])

    def _describe(self, handler: Any, name: str, revision: str) -> None:
        if self.limits:
            handler.answer(429, Retry_After=str(self.limits.pop(0)))
            return
        if name in self.renamed:
            handler.answer(307, Location=f"/api/models/{self.renamed[name]}?blobs=true")
            return
        if not any(known == name for known, _ in self.repositories):
            handler.answer(401, X_Error_Code="RepoNotFound")
            return
        commit = self.revisions.get((name, revision), revision)
        if (name, commit) not in self.repositories:
            handler.answer(404, X_Error_Code="RevisionNotFound")
            return
        if self._bad_token(handler):
            return
        files = self.repositories[name, commit]
        siblings = [self._sibling(path, data) for path, data in files.items()]
        self._json(handler, {"id": name, "sha": commit, "siblings": siblings, "cardData": self.cards.get(name, {})})

    def _sibling(self, path: str, data: bytes) -> dict[str, Any]:
        if self.says_no_sizes:
            return {"rfilename": path}
        found: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": git_id(data)}
        if path.endswith(_LARGE):
            sha256 = self.lies.get(path, hashlib.sha256(data).hexdigest())
            found |= {"lfs": {"sha256": sha256, "size": len(data), "pointerSize": 134}}
        return found

    def _resolve(self, handler: Any, name: str, commit: str, path: str) -> None:
        data = self.repositories.get((name, commit), {}).get(path)
        if data is None:
            handler.answer(404, X_Error_Code="EntryNotFound")
        elif self._bad_token(handler):
            pass
        elif name in self.gated and handler.headers.get("Authorization") != f"Bearer {self.token}":
            handler.answer(401 if handler.headers.get("Authorization") is None else 403, X_Error_Code="GatedRepo")
        elif path.endswith(_LARGE):
            digest = digest_of(data)
            handler.answer(
                302,
                X_Repo_Commit=commit,
                X_Linked_Size=str(len(data)),
                X_Linked_ETag=f'"{digest.removeprefix("sha256:")}"',
                Location=f"{self.storage.url}/storage/{digest}?signature=s3cret",
            )
        else:
            body = data + b"!" if path in self.small_damages else data
            handler.answer(200, body, X_Repo_Commit=commit, ETag=f'"{git_id(data)}"')

    def _bad_token(self, handler: Any) -> bool:
        given = handler.headers.get("Authorization")
        if given in (None, f"Bearer {self.token}") or given == "Bearer hf_stranger":
            return False
        handler.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        return True

    def _json(self, handler: Any, value: Any) -> None:
        handler.answer(200, json.dumps(value).encode(), Content_Type="application/json")
