"""Make a package that embeds texts out of a BERT encoder: a folder of sentence-transformers, or a GGUF file.

A package is the graph with its weights, `tokenizer.json`, and `embedding_config.json`, which names the graph and says
how many tokens a text may have and what is put before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.bert import UNUSED, BertConfig, check_tensors, hugging_face_names, read_folder_config
from olpipe.convert.bert_gguf import ARCHITECTURE, read_header_config, tokenizer_json
from olpipe.convert.bert_graph import Tensors, write_encoder
from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import GGUFHeader, open_gguf, read_header
from olpipe.convert.model_folder import WEIGHTS_NAME, open_weights
from olpipe.convert.sentence_folder import SentenceSettings, context_length, read_settings, text_limit
from olpipe.convert.tensor_file import FLOAT_TYPES, Floats, TensorFile
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import Progress, ProgressCallback

GRAPH_NAME = "model.onnx"
TOKENIZER_NAME = "tokenizer.json"

_MAX_TOKENIZER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Encoder:
    """What a model says of itself, checked.

    Attributes:
        config: The encoder's sizes.
        settings: What becomes of a text before it and after it.
        context_length: Most tokens of a text.
        tokenizer: The content of a `tokenizer.json`.
    """

    config: BertConfig
    settings: SentenceSettings
    context_length: int
    tokenizer: str


def is_encoder(gguf: Path) -> bool:
    """Say whether a GGUF file is an encoder, and no decoder; raises what `read_header` raises."""
    return read_header(gguf).architecture == ARCHITECTURE


def check_encoder(source: Path) -> None:
    """Read all but the weights of a folder or a GGUF file, to see whether `convert_encoder` takes it.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: It is damaged.
        ModelUnsupported: It is sound, but of a kind that is not converted.
    """
    with _opened(source):
        pass


def convert_encoder(source: Path, destination: Path, *, progress: ProgressCallback) -> None:
    """Convert a folder or a GGUF file into a package.

    Args:
        source: The folder, as sentence-transformers writes it, or the `.gguf` file.
        destination: An existing, empty folder. It holds half a package when this raises.
        progress: Told about every tensor.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: It is damaged.
        ModelUnsupported: It is sound, but of a kind that is not converted.
    """
    with _opened(source) as (encoder, tensors):
        config = encoder.config
        tokenizer = _tokenizer(encoder, source)
        count = _counter(len(config.shapes()), progress)
        write_encoder(tensors, config, encoder.settings.pooling, destination / GRAPH_NAME, count)
    (destination / TOKENIZER_NAME).write_text(tokenizer, encoding="utf-8")
    described = {
        "graph": GRAPH_NAME,
        "context_length": encoder.context_length,
        "dimensions": config.hidden_size,
        "pooling": encoder.settings.pooling.value,
        "prompt": encoder.settings.prompt,
    }
    text = json.dumps(described, ensure_ascii=False, indent=2) + "\n"
    (destination / EMBEDDING_CONFIG).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _FolderTensors:
    """The weights of a folder, by their names in GGUF files."""

    file: TensorFile
    names: Mapping[str, str]

    def rows(self, name: str) -> Iterator[Floats]:
        return self.file.rows(self.names[name])

    def vector(self, name: str) -> Floats:
        return self.file.read(self.names[name])


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Encoder, Tensors]]:
    """Read what a model says of itself, and open its weights, of which none is read yet."""
    if not source.is_dir():
        model = open_gguf(source)
        yield _gguf_encoder(model.header), FloatTensors(model)
        return
    encoder = _folder_encoder(source)
    with open_weights(source) as file:
        names = hugging_face_names(encoder.config, file.tensors.keys())
        _check_stored(source / WEIGHTS_NAME, file, names, encoder.config)
        yield encoder, _FolderTensors(file, names)


def _folder_encoder(folder: Path) -> Encoder:
    config, settings = read_folder_config(folder), read_settings(folder)
    path = folder / TOKENIZER_NAME
    if not path.is_file():
        raise ModelUnsupported(f"`{folder}` has no `{TOKENIZER_NAME}`", hint="use a folder with a fast tokenizer")
    if path.stat().st_size > _MAX_TOKENIZER_BYTES:
        raise ModelCorrupt(f"`{path}` has more than {_MAX_TOKENIZER_BYTES} bytes")
    try:
        tokenizer = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelCorrupt(f"`{path}` is not UTF-8") from error
    return Encoder(config, settings, context_length(config.positions, text_limit(folder)), tokenizer)


def _gguf_encoder(header: GGUFHeader) -> Encoder:
    config, pooling = read_header_config(header)
    tokenizer = json.dumps(tokenizer_json(header), ensure_ascii=False)
    longest = context_length(config.positions, header.context_length or None)
    return Encoder(config, SentenceSettings(pooling), longest, tokenizer)


def _check_stored(path: Path, file: TensorFile, names: Mapping[str, str], config: BertConfig) -> None:
    found = {name: stored.shape for name, stored in file.tensors.items()}
    expected = {names[name]: shape for name, shape in config.shapes().items()}
    prefix = next(iter(expected)).partition("embeddings.")[0]
    check_tensors(path, found, expected, unused={f"{prefix}{name}" for name in UNUSED})
    for name in expected:
        dtype = file.tensors[name].dtype
        if dtype not in FLOAT_TYPES:
            raise ModelUnsupported(f"`{path}` stores `{name}` as `{dtype}`; {', '.join(FLOAT_TYPES)} are converted")


def _tokenizer(encoder: Encoder, source: Path) -> str:
    """Return the tokenizer as the runner loads it: it neither cuts nor pads, and lower-cases if the settings say so."""
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Lowercase, Sequence

    try:
        tokenizer = Tokenizer.from_str(encoder.tokenizer)
    except Exception as error:  # the library raises nothing narrower
        said = str(error).partition("\n")[0][:160]
        raise ModelCorrupt(f"`{source}` has a tokenizer that cannot be read: {said!r}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if encoder.settings.lowercase:
        former = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = Sequence([Lowercase(), *former])
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= encoder.config.vocab_size:
        raise ModelCorrupt(f"`{source}` has a token {largest} for {encoder.config.vocab_size} embedding rows")
    if tokenizer.num_special_tokens_to_add(False) >= encoder.context_length:
        raise ModelCorrupt(f"`{source}` has texts of {encoder.context_length} tokens, which leaves no room for a word")
    written: str = tokenizer.to_str()
    return written


def _counter(total: int, progress: ProgressCallback) -> Callable[[], None]:
    """Return what counts tensors."""
    completed = 0

    def count() -> None:
        nonlocal completed
        completed += 1
        progress(Progress("converting", completed, total, "tensors"))

    progress(Progress("converting", 0, total, "tensors"))
    return count
