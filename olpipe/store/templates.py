"""Check the chat template of a model before the model is kept."""

from __future__ import annotations

from pathlib import Path

from olpipe.errors import ModelCorrupt, UsageError
from olpipe.families.compiling import compile_template
from olpipe.families.template_language import is_jinja
from olpipe.model import ModelBundle, ModelConfig
from olpipe.store import chat_facts

TEMPLATE_KEPT = "keeping a template that is not in Jinja; the model's own Jinja template is used"
"""What is told where a model gets a template in Go's language, and its files have one in Jinja."""


def check_text(template: str) -> None:
    """Refuse a template that is not valid.

    Raises:
        UsageError: It is not.
    """
    try:
        compile_template(template)
    except ModelCorrupt as error:
        raise UsageError(f"the template cannot be used: {error.message}") from error


def is_unused(template: str, config: ModelConfig, files: chat_facts.Files) -> bool:
    """Say whether a template of a manifest is not used, because the files have one in Jinja.

    Args:
        template: The template.
        config: What the model is.
        files: Its files.
    """
    if not template or is_jinja(template):
        return False
    facts = chat_facts.read(config, files)
    return facts is not None and bool(facts.templates)


def check_used(bundle: ModelBundle) -> None:
    """Refuse a model that has a template in Go's language which is used, and which is not valid.

    Args:
        bundle: The model, laid out.

    Raises:
        ModelCorrupt: It is not valid.
    """
    if not bundle.template or is_jinja(bundle.template) or is_unused(bundle.template, bundle.config, _files(bundle)):
        return
    try:
        compile_template(bundle.template)
    except ModelCorrupt as error:
        raise ModelCorrupt(f"`{bundle.name}` cannot be used: {error.message}") from error


def _files(bundle: ModelBundle) -> dict[str, tuple[Path, int]]:
    found = (path for path in sorted(bundle.path.rglob("*")) if path.is_file())
    return {path.relative_to(bundle.path).as_posix(): (path, path.stat().st_size) for path in found}
