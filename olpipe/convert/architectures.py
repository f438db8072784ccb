"""What can be converted; imports nothing, so that a backend may ask before any conversion."""

from __future__ import annotations

ARCHITECTURES = ("llama",)
"""Those that can be converted, as `general.architecture` names them."""

FORMAT_VERSION = 1
"""Changes whenever the same file is converted to another package."""
