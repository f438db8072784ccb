"""Text models in the layout of ONNX Runtime GenAI, which olpipe's own converter writes, too.

Such a model is a folder with `genai_config.json`, a graph, `tokenizer.json` and `tokenizer_config.json`.
Source: https://onnxruntime.ai/docs/genai/reference/config.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from olpipe.errors import ModelCorrupt
from olpipe.model import ModelBundle
from olpipe.store.package_checks import CONFIG_NAME

if TYPE_CHECKING:
    from olpipe.decoding.vocabulary import Vocabulary
    from olpipe.families.chat_template import TemplateFiles


@dataclass(frozen=True, slots=True)
class TextPackage:
    """What the files of a text model say.

    Attributes:
        folder: Where they are.
        decoder: File name of the graph.
        context_length: Most tokens of prompt plus answer.
        vocab_size: Width of the logits.
        end_tokens: Ids of the tokens that end an answer.
        template: The chat template.
        window: How many tokens a layer with a window attends to, where the graph takes that as an input; else 0.
    """

    folder: Path
    decoder: str
    context_length: int
    vocab_size: int
    end_tokens: tuple[int, ...]
    template: TemplateFiles
    window: int = 0

    @classmethod
    def read(cls, folder: Path, bundle: ModelBundle) -> TextPackage:
        """Read a package.

        Raises:
            ModelCorrupt: The configuration or the chat template cannot be read, or lacks what a model needs.
        """
        from olpipe.families.chat_template import TemplateFiles

        try:
            model = read_model(folder)
            ends = model["eos_token_id"]
            return cls(
                folder,
                model["decoder"]["filename"],
                model["context_length"],
                model["vocab_size"],
                tuple(ends) if isinstance(ends, list) else (ends,),
                TemplateFiles.read(folder).instead(bundle.template),
                _window(model["decoder"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else error
            raise ModelCorrupt(f"`{bundle.name}` has an unusable {CONFIG_NAME}: {reason}") from error

    def vocabulary(self) -> Vocabulary:
        """Read the tokenizer.

        Raises:
            ModelCorrupt: There is none, or it is damaged.
            ModelUnsupported: Its tokenisation cannot be reproduced byte by byte.
        """
        from olpipe.decoding.vocabulary import Vocabulary

        try:
            text = (self.folder / "tokenizer.json").read_text(encoding="utf-8")
            return Vocabulary(text, size=self.vocab_size, end_tokens=self.end_tokens)
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelCorrupt(f"the tokenizer in `{self.folder}` cannot be read: {error}") from error


def _window(decoder: Mapping[str, Any]) -> int:
    """Return how many tokens a layer with a window attends to, as olpipe's converter writes it."""
    return int((decoder.get("sliding_window") or {}).get("window_size", 0))


def read_model(folder: Path) -> Mapping[str, Any]:
    """Return the table `model` of a package's `genai_config.json`.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not JSON, or has no such table.
    """
    config = orjson.loads((folder / CONFIG_NAME).read_bytes())
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict):
        raise ValueError("there is no table `model`")
    return model
