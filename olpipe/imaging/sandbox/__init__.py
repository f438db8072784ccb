"""Decodes untrusted photos in processes of their own: a crash, an endless loop or a bomb is one failed photo."""

from __future__ import annotations
