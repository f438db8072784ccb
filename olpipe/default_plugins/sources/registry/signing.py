"""Prove with the user's key that a request for a token is the user's own, as Ollama's registry knows its users.

The key is Ollama's, `~/.ollama/id_ed25519`. It is only ever read: olpipe makes no key. What is signed is the request's
method, its URL with the time and a text that is never used twice, and the digest of its empty body. The registry gets
the public half of the key and the signature.
Source: https://github.com/ollama/ollama/blob/main/server/auth.go and auth/auth.go
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MOST_BYTES = 16 << 10
"""Most bytes of a file with a key."""

_NONCE_BYTES = 16
_EMPTY_BODY = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()


class NoKey(Exception):
    """There is no key that may be used.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, hint: str) -> None:
        super().__init__(hint)
        self.hint = hint


def proof_of_freshness() -> dict[str, str]:
    """Return what a signed request has in its query, so that nobody can send it a second time."""
    nonce = base64.urlsafe_b64encode(secrets.token_bytes(_NONCE_BYTES)).decode().rstrip("=")
    return {"ts": str(int(time.time())), "nonce": nonce}


def signature(path: Path, method: str, url: str) -> str:
    """Return the value of the header `Authorization` for a request without a body.

    Args:
        path: The file with the key.
        method: The method of the request.
        url: Its whole URL, as it is sent.

    Raises:
        NoKey: There is no key that may be used.
    """
    key = _read(path.expanduser())
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1].decode()
    signed = key.sign(f"{method},{url},{_EMPTY_BODY}".encode())
    return f"{public}:{base64.b64encode(signed).decode()}"


def _read(path: Path) -> Ed25519PrivateKey:
    """Read a key."""
    data = _own_bytes(path)
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key
    except ImportError as error:
        raise NoKey(f"to sign with the key `{path}`, run `pip install 'olpipe[sign]'`") from error
    try:
        key = load_ssh_private_key(data, password=None)
    except TypeError as error:
        raise NoKey(f"the key `{path}` has a passphrase: olpipe uses a key without one only") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NoKey(f"`{path}` is no key in the form of OpenSSH") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NoKey(f"`{path}` is a key of another kind: the registry takes Ed25519 only")
    return key


def _own_bytes(path: Path) -> bytes:
    """Read a file that nobody but the user may read."""
    try:
        # A pipe must not keep olpipe waiting. A link may lead to any file
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise NoKey(
            f"this registry knows its users by keys, and there is no key `{path}`: start Ollama once, which makes one"
        ) from error
    except OSError as error:
        raise NoKey(f"the key `{path}` is a link, or cannot be read: put the file itself there") from error
    with os.fdopen(opened, "rb") as file:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            raise NoKey(f"`{path}` is no file with a key")
        if hasattr(os, "geteuid"):  # on Windows, the folder of a user is closed to other users
            if found.st_uid != os.geteuid():
                raise NoKey(f"the key `{path}` belongs to another user, so it is not used")
            if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise NoKey(f"others may read or change the key `{path}`, so it is not used: run `chmod 600 {path}`")
        return file.read(MOST_BYTES)
