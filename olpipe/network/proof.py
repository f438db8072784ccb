"""Prove to a server that a request comes from the user who runs it.

A client and a server of one user share OLPIPE_HOME. A secret lies there that only this user can read. The client signs
what it asks with the secret, and the server checks that with its own. The secret itself never travels: a stranger who
listens at the server's address learns nothing with which something else could be asked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_NAME = "user.secret"
_BYTES = 32


def prove(home: Path, text: str) -> str:
    """Return the proof that a text comes from the user of a home folder; empty where that cannot be proved."""
    try:
        return _signed(_secret(home), text)
    except OSError:
        return ""


def is_proved(home: Path, text: str, proof: str) -> bool:
    """Say whether a text comes from the user of a home folder."""
    try:
        expected = _signed(_secret(home), text)
    except OSError:
        return False
    return hmac.compare_digest(expected.encode(), proof.encode())


def _signed(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _secret(home: Path) -> bytes:
    """Return the secret of a home folder. Whoever needs it first makes it.

    Raises:
        OSError: It cannot be read, or not be made, or it is too short to be one.
    """
    path = home / _NAME
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(prefix=f"{_NAME}-", dir=home)  # only this user can read it
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_BYTES))
            with suppress(FileExistsError):  # where another process was first, its secret holds
                os.link(new, path)
        finally:
            os.unlink(new)
    secret = path.read_bytes()
    if len(secret) != _BYTES:
        raise OSError(f"`{path}` is not a secret")
    return secret
