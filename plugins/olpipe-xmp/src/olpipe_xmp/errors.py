"""Why nothing is written for one photo, while all others go on."""

from __future__ import annotations


class LeftOut(Exception):
    """A photo for which nothing can be written, or nothing may be. The text goes on behind its name."""
