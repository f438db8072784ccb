"""What the processors of `transformers` share: a tokenizer made of a GGUF file."""

from __future__ import annotations

import json
from pathlib import Path

import transformers
from recording.weights import field

from olpipe.convert.gguf import read_header
from olpipe.convert.tokenizer import read_tokenizer, tokenizer_json


def tokenizer(path, **special):
    """Return the tokenizer of a file; `special` are names and spellings of tokens that a processor asks for."""
    folder = Path(path).parent
    made = read_tokenizer(read_header(Path(path)))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(made)), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    tokens = made.tokens
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token=tokens[made.special.begin],
        eos_token=tokens[made.special.ends[0]],
        pad_token=tokens[made.special.padding],
        extra_special_tokens=special,
        chat_template=field(path, "tokenizer.chat_template"),
    )


def token_id(path, token):
    """Return the id of a token of a file."""
    return field(path, "tokenizer.ggml.tokens").index(token)
