"""Read the schema that an option gives: as JSON in quotes, or by the path of its file."""

from __future__ import annotations

import re
from pathlib import Path

from olpipe.errors import SchemaError


def schema_text(option: str, given: str, *, hint: str = "give a file, or JSON in quotes") -> str:
    """Return the text of a schema. Whether it is a schema is not checked here.

    Args:
        option: The option's name, for messages.
        given: The text itself, or the path of its file.
        hint: What to give instead of what cannot be used.

    Raises:
        SchemaError: Nothing is given, or it is neither a file that can be read nor a text like that of a schema.
    """
    if not given.strip():
        raise SchemaError(f"`{option}` is empty", hint=hint)
    if given.lstrip("\ufeff \t\r\n").startswith("{"):
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(f"schema `{given}` cannot be read: it is not text in UTF-8", hint=hint) from error
    except (OSError, ValueError, RuntimeError) as error:
        if re.match(r'\s*["\[]|.*\n|[\w-]+:\s', given):
            return given  # JSON of another kind, or YAML: who reads the text says what is wrong with it
        reason = getattr(error, "strerror", None) or error
        raise SchemaError(f"schema `{given}` cannot be read: {reason}", hint=hint) from error
