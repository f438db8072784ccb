"""Remove what abandoned pulls left, once it is too old to belong to a pull in progress."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

from olpipe.errors import StoreError
from olpipe.store import views
from olpipe.store.blobs import Blobs
from olpipe.store.chat_facts import ChatFactsCache
from olpipe.store.manifests import Manifests

HOUR_S = 3600
TEMPORARY_KEPT_S = HOUR_S
"""A temporary file that nobody has written to for so long belongs to a process that has ended."""
UNNAMED_BLOB_KEPT_S = 24 * HOUR_S
"""How long a blob may wait for its manifest."""
PARTIAL_KEPT_S = 7 * 24 * HOUR_S
"""How long an interrupted pull can be continued."""


def clean(incoming: Path, cache: Path, manifests: Manifests, blobs: Blobs | None, chat_facts: ChatFactsCache) -> None:
    """Remove what is too old. The caller holds the store's lock.

    Args:
        incoming: What pulls have not finished.
        cache: What was made of models.
        manifests: The manifests of the store.
        blobs: Its blobs; None where they stay in any case.
        chat_facts: What is known of its models.
    """
    now = time.time()
    for path in incoming.iterdir():
        age_s = now - path.lstat().st_mtime
        if path.is_dir() and age_s > PARTIAL_KEPT_S:
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix != ".lock" and path.is_file() and age_s > TEMPORARY_KEPT_S:
            path.unlink(missing_ok=True)
    try:
        models, named = manifests.in_use()
    except StoreError:
        return  # `list` warns of it
    _clean_cache(cache, models, now)
    chat_facts.clean(models, before=now - UNNAMED_BLOB_KEPT_S)
    for digest, touched_at in [] if blobs is None else list(blobs.entries()):
        if blobs is not None and digest not in named and now - touched_at > UNNAMED_BLOB_KEPT_S:
            blobs.discard(digest)


def _clean_cache(cache: Path, models: Collection[str], now: float) -> None:
    """Remove what was made of models that were never committed: their pulls were cancelled or killed."""
    for folder in (cache / "views", cache / "builds"):
        for path in folder.iterdir() if folder.is_dir() else ():
            age_s = now - path.lstat().st_mtime
            if path.name.startswith((".new-", ".old-")) and age_s > TEMPORARY_KEPT_S:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_dir() and age_s > UNNAMED_BLOB_KEPT_S and f"sha256:{path.name}" not in models:
                views.discard(path)
