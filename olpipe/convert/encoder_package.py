"""Convert a BERT encoder into a package that makes vectors of texts.

The source is a folder of sentence-transformers, or a GGUF file. The package has the graph with its weights, a
`tokenizer.json`, and an `embedding_config.json`. The latter names the graph, and says how many tokens a text may have
and what is put before each text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from olpipe.convert.architectures import EMBEDDING_CONFIG
from olpipe.convert.bert import PLAIN, UNUSED, BertConfig, hugging_face_names, read_folder_config
from olpipe.convert.bert_gguf import ARCHITECTURE, read_header_config, tokenizer_json
from olpipe.convert.bert_graph import Tensors, write_encoder
from olpipe.convert.floats import FloatTensors
from olpipe.convert.gguf import GGUFHeader, open_gguf, read_header
from olpipe.convert.model_folder import WEIGHTS_NAME, open_weights
from olpipe.convert.sentence_folder import SentenceSettings, context_length, read_settings, text_limit
from olpipe.convert.tensor_file import FLOAT_TYPES, Floats, TensorFile
from olpipe.convert.tensor_shapes import check_shapes
from olpipe.errors import ModelCorrupt, ModelUnsupported
from olpipe.interfaces import Progress, ProgressCallback

GRAPH_NAME = "model.onnx"
TOKENIZER_NAME = "tokenizer.json"

_MAX_TOKENIZER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Encoder:
    """What a source says about its encoder, checked.

    Attributes:
        config: The sizes of the encoder.
        settings: What is done with a text before the encoder and after it.
        context_length: Most tokens of a text.
        tokenizer: The text of a `tokenizer.json`.
    """

    config: BertConfig
    settings: SentenceSettings
    context_length: int
    tokenizer: str


def is_encoder(gguf: Path) -> bool:
    """Say whether a GGUF file has an encoder and not a decoder; raises what `read_header` raises."""
    return read_header(gguf).architecture == ARCHITECTURE


def check_encoder(source: Path) -> None:
    """Check whether `convert_encoder` can convert a folder or a GGUF file. The weights are not read.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The source is damaged.
        ModelUnsupported: The source is sound, but of a kind that cannot be converted.
    """
    with _opened(source):
        pass


def convert_encoder(source: Path, destination: Path, *, progress: ProgressCallback) -> None:
    """Convert a folder or a GGUF file into a package.

    Args:
        source: The folder, as sentence-transformers writes it, or the `.gguf` file.
        destination: An existing, empty folder. After an error it may have a part of a package in it.
        progress: Called after every tensor.

    Raises:
        ModelNotFound: There is no such file.
        ModelCorrupt: The source is damaged.
        ModelUnsupported: The source is sound, but of a kind that cannot be converted.
    """
    # 1. The graph and its weights.
    with _opened(source) as (encoder, tensors):
        config = encoder.config
        tokenizer = _tokenizer(encoder, source)
        count = _counter(len(config.shapes()), progress)
        write_encoder(tensors, config, encoder.settings.pooling, destination / GRAPH_NAME, count)
    # 2. The tokenizer, and last the description.
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
    """The weights of a folder. They are read by the names that GGUF files give them."""

    file: TensorFile
    names: Mapping[str, str]

    def rows(self, name: str) -> Iterator[Floats]:
        return self.file.rows(self.names[name])

    def vector(self, name: str) -> Floats:
        return self.file.read(self.names[name])


@contextmanager
def _opened(source: Path) -> Iterator[tuple[Encoder, Tensors]]:
    """Read what a source says about its encoder, and open its weights. None of them is read yet."""
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
    """Read what a folder says about its encoder."""
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
    """Read what the header of a GGUF file says about its encoder."""
    config, pooling = read_header_config(header)
    tokenizer = json.dumps(tokenizer_json(header), ensure_ascii=False)
    longest = context_length(config.positions, header.context_length or None)
    return Encoder(config, SentenceSettings(pooling), longest, tokenizer)


def _check_stored(path: Path, file: TensorFile, names: Mapping[str, str], config: BertConfig) -> None:
    """Check that a folder's file has exactly the tensors of the encoder, in types that can be read."""
    found = {name: stored.shape for name, stored in file.tensors.items()}
    expected = {names[name]: shape for name, shape in config.shapes().items()}
    prefix = next(iter(expected)).partition("embeddings.")[0]
    others = {f"{prefix}{name}" for name in UNUSED}
    check_shapes(f"`{path}`", found, expected, kind=PLAIN, others=others)
    for name in expected:
        dtype = file.tensors[name].dtype
        if dtype not in FLOAT_TYPES:
            raise ModelUnsupported(f"`{path}` stores `{name}` as `{dtype}`; {', '.join(FLOAT_TYPES)} are converted")


def _tokenizer(encoder: Encoder, source: Path) -> str:
    """Return the tokenizer for the package: it does not cut or pad texts, and it lower-cases if the settings say so.

    Raises:
        ModelCorrupt: The tokenizer is damaged, or it does not fit the encoder.
    """
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Lowercase, Sequence

    try:
        tokenizer = Tokenizer.from_str(encoder.tokenizer)
    except Exception as error:  # the library has no narrower class of errors
        said = str(error).partition("\n")[0][:160]
        raise ModelCorrupt(f"`{source}` has a tokenizer that cannot be read: {said!r}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if encoder.settings.lowercase:
        former = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = Sequence([Lowercase(), *former])
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= encoder.config.vocab_size:
        raise ModelCorrupt(f"`{source}` has a token {largest}, but only {encoder.config.vocab_size} embedding rows")
    if tokenizer.num_special_tokens_to_add(False) >= encoder.context_length:
        raise ModelCorrupt(
            f"`{source}` allows texts of {encoder.context_length} tokens, which leaves no room for a word"
        )
    written: str = tokenizer.to_str()
    return written


def _counter(total: int, progress: ProgressCallback) -> Callable[[], None]:
    """Return a function that counts tensors and reports the progress."""
    completed = 0

    def count() -> None:
        nonlocal completed
        completed += 1
        progress(Progress("converting", completed, total, "tensors"))

    progress(Progress("converting", 0, total, "tensors"))
    return count
