"""User names and passwords for registries, as `docker login` keeps them.

Only those that are written down in Docker's `config.json` itself are used. Programs that keep passwords for Docker are
not started. Source: https://github.com/docker/cli/blob/master/cli/config/configfile/file.go
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
_FILE = "config.json"


def basic_credentials(folder: Path | None, host: str) -> str:
    """Return a user name and a password for a registry, encoded as the scheme Basic wants it; empty where none is kept.

    Args:
        folder: The folder of Docker's `config.json`.
        host: The registry's host, with its port where it has one.
    """
    if folder is None:
        return ""
    path = folder.expanduser() / _FILE
    for key in (host, f"https://{host}", f"http://{host}", f"https://{host}/v2/", f"https://{host}/v1/"):
        entry = _entries(path).get(key)
        if isinstance(entry, dict):
            return _encoded(entry, path)
    return ""


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        value = json.loads(path.read_bytes())
    except OSError:  # who has no such file has no passwords
        return {}
    except (ValueError, RecursionError) as error:
        logger.warning("the passwords in `%s` cannot be used: %s", path, error)
        return {}
    entries = value.get("auths") if isinstance(value, dict) else None
    return entries if isinstance(entries, dict) else {}


def _encoded(entry: Mapping[str, Any], path: Path) -> str:
    """Return what an entry says, encoded anew: only a user name and a password can come out."""
    user, password, auth = (entry.get(key) for key in ("username", "password", "auth"))
    if isinstance(auth, str) and auth:
        try:
            user, colon, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            logger.warning("an entry in `%s` cannot be used: `auth` is no user name with a password", path)
            return ""
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        return ""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
