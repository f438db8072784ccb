"""Tell the two languages of chat templates apart.

Most models bring templates in Jinja. Ollama's own models and Modelfiles bring templates in the language of Go's library
`text/template`.
"""

from __future__ import annotations

import re

# In an expression of Go, a name with a dot before it belongs to no other name: `{{ .Prompt }}`, `{{ if .System }}`.
_GO = re.compile(r"\{\{[^}]*(?<![\w\])\"'])\.[A-Z]")


def is_jinja(template: str) -> bool:
    """Say whether a template is written in Jinja.

    A text without any expression is not: every conversation would become the same prompt.
    """
    return "{%" in template or ("{{" in template and _GO.search(template) is None)
