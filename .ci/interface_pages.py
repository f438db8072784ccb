"""The page on hooks, interfaces, values and contracts, made from the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType

import pluggy
from described import Attribute, aliases, attributes, docstring, methods, signature, words

from olpipe import (
    embedding,
    entry_points,
    generation,
    hookspecs,
    image,
    interfaces,
    messages,
    model,
    plugins,
    record,
    record_columns,
    row_documents,
    row_file,
    tokens,
)
from olpipe import registry as registry_module
from olpipe import settings as settings_module
from olpipe.convert import graph, vision_metadata, vision_tensors, weights
from olpipe.convert.towers import encoder
from olpipe.decoding import (
    cutting,
    decoder,
    logits_runner,
    model_sequence,
    preparing,
    prompt,
    reading,
    vocabulary,
)
from olpipe.decoding import tokens as vocabulary_tokens
from olpipe.families import chat_template, rendering
from olpipe.imaging import decode, fitting
from olpipe.interfaces import batch, blobs, models, photos, progress, sources, vision
from olpipe.store import library, packages
from olpipe.testing import commands, contracts, documents, fixtures, gguf, images, install
from olpipe.testing import models as test_models
from olpipe.testing.contracts import sinks

VALUE_MODULES = (messages, generation, embedding, tokens, model, image, record, progress)
DOOR = (
    *(logits_runner.LogitsRunner, vocabulary.Vocabulary, model_sequence.ModelSequence),
    *(model_sequence.RewindableSequence, prompt.Prompt, prompt.PlacedImage, rendering.ChatRenderer),
    *(rendering.ImageSpan, chat_template.TemplateFiles, reading.Markers),
    *(reading.ThinkingFormat, reading.CallFormat),
)
SIDE_BY_SIDE = (preparing.Preparer, preparing.PreparedPrompt, decoder.Decoder, decoder.Run, cutting.CutPrompt)
USED: tuple[tuple[ModuleType, str], ...] = (
    *((cutting, "fitting_prompt"), (vocabulary_tokens, "tokenize"), (vocabulary_tokens, "detokenize")),
    *((packages, "name_from"), (decode, "load"), (library, "Library"), (library, "Library.get")),
    *((plugins, "Plugins"), (plugins, "Plugins.load"), (plugins, "Plugins.registries")),
    *((settings_module, "Settings"), (settings_module, "Settings.read"), (entry_points, "names")),
    *(
        (record_columns, "record_columns"),
        (row_file, "RowFile"),
        (row_documents, "RowDocuments"),
        (registry_module, "Registry"),
        (registry_module, "Registry.get"),
    ),
    *((registry_module, "Registry.blaming"), (vision_metadata, "VisionMetadata"), (vision_tensors, "check_tensors")),
    *((vision_tensors, "layer_shapes"), (fitting, "Resampling"), (fitting, "resized"), (graph, "write_graph")),
    *((encoder, "Encoder"), (encoder, "Encoder.multiply"), (encoder, "Encoder.finished"), (weights, "WeightFile")),
)
"""What the example uses besides: functions, classes, and methods."""

OWNED = ("own", "prompt", "examples")
SPELLINGS = {
    **{f"{owner}s {owned}": f"{owner}'s {owned}" for owner in ("model", "recipe", "record") for owned in OWNED},
    "callers thread": "caller's thread",
    "json": "JSON",
    "rgb": "RGB",
}
"""What a test's name cannot spell."""

KIT = (images, documents, test_models, gguf, fixtures, install, commands, sinks)
INTRODUCTION = """
This page is made from the code. [Writing a plugin](plugins.md) shows how to use what stands here, and
[writing a backend](write-a-backend.md) leads from nothing to a backend.

- [Hooks](#hooks) are functions of your module that olpipe calls. They stand in `olpipe.hookspecs`, and so does the mark
  that each of yours needs: `from olpipe.hookspecs import hookimpl`.
- [Interfaces](#interfaces) are what hooks return. They stand in `olpipe.interfaces`.
- [Values](#values) are what the methods of interfaces take and return.
- [The door for backends that show logits](#the-door-for-backends-that-show-logits) spares them all of decoding.
- [Contracts](#contracts) are test classes that check what an interface promises.
- [The test kit](#the-test-kit) is what else tests of plugins can use.
- [Other things that plugins use](#other-things-that-plugins-use) are what the example needs besides.

The page on [errors](errors.md) describes what stands under *Raises*. A method marked *needed* has to be written. The
others have a default.
"""

SEVERAL = """
What follows is for runners that answer several requests at once.
[Writing a backend](write-a-backend.md#several-sequences-at-once) has an example.
"""
OTHERS = """
A plugin may import everything up to the third floor of the [house](architecture.md#floors). The example needs these:
"""


def hooks() -> Iterator[str]:
    """Write the whole page."""
    yield "# Hooks and interfaces\n"
    yield inspect.cleandoc(INTRODUCTION) + "\n"
    yield "## Hooks\n"
    yield _text(hookspecs) + "\n"
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    for name, hook in vars(hookspecs).items():
        if manager.parse_hookspec_opts(hookspecs, name) is not None:
            yield f"### {name}\n"
            yield f"```python\ndef {signature(name, hook)}: ...\n```\n"
            yield inspect.cleandoc(hook.__doc__ or "") + "\n"
    yield "## Interfaces\n"
    yield _text(interfaces) + "\n"
    shown = list(_interfaces())
    for found in shown:
        yield from _class(found)
    yield "## Values\n"
    yield "All are frozen dataclasses, but for enumerations. They stand in the modules that are named.\n"
    yield from _values(shown)
    yield "## The door for backends that show logits\n"
    yield _text(logits_runner) + "\n"
    named = aliases(model_sequence)
    yield "\n".join(f"- `{one.name}` is `{_inline(one.default)}`. {one.meaning}" for one in named) + "\n"
    for found in DOOR:
        yield from _class(found, module=True)
    yield inspect.cleandoc(SEVERAL) + "\n"
    yield _text(decoder) + "\n"
    for found in SIDE_BY_SIDE:
        yield from _class(found, module=True)
    yield "## Contracts\n"
    yield _text(contracts) + "\n"
    for name in contracts.__all__:
        yield from _contract(getattr(contracts, name))
    yield "## The test kit\n"
    for module in KIT:
        yield from _kit(module)
    yield "## Other things that plugins use\n"
    yield inspect.cleandoc(OTHERS) + "\n"
    yield from (_used(module, name) for module, name in USED)


def _interfaces() -> Iterator[type]:
    """Yield the interfaces in the order of the life of a run: models, photos, batch."""
    for module in (models, sources, blobs, vision, photos, batch):
        for name, found in vars(module).items():
            if inspect.isclass(found) and found.__module__ == module.__name__ and name in interfaces.__all__:
                yield found


def _text(module: ModuleType) -> str:
    """Return a module's documentation as Markdown."""
    return inspect.cleandoc(module.__doc__ or "").replace("::\n", ":\n")


def _values(shown: Iterable[type]) -> Iterator[str]:
    """Yield what the interfaces mention, and what that mentions in turn, module by module."""
    known = {
        name: found
        for module in VALUE_MODULES
        for name, found in vars(module).items()
        if inspect.isclass(found) and found.__module__ == module.__name__
    }
    mentioned = {name for found in (*shown, *DOOR, *SIDE_BY_SIDE) for name in words(found)}
    reached: set[str] = set()
    named = {entry.name: entry for module in VALUE_MODULES for entry in aliases(module)}
    while mentioned - reached:
        name = min(mentioned - reached)
        reached.add(name)
        if name in known:
            mentioned |= words(known[name])
        elif name in named:
            mentioned |= set(re.findall(r"\w+", named[name].default))
    for module in VALUE_MODULES:
        inside = [found for name, found in known.items() if name in reached and found.__module__ == module.__name__]
        others = [entry for entry in aliases(module) if entry.meaning]
        if inside or others:
            yield f"### {module.__name__}\n"
            yield _text(module) + "\n"
            yield from (f"- `{entry.name}` is `{_inline(entry.default)}`. {entry.meaning}" for entry in others)
            yield from [""] if others else []
            for found in inside:
                yield from _class(found, level=4)


def _class(found: type, *, level: int = 3, module: bool = False) -> Iterator[str]:
    """Write one class: what it is, its attributes, its methods."""
    yield f"{'#' * level} {found.__name__}\n"
    if module:
        yield f"`{found.__module__}.{found.__name__}`\n"
    yield docstring(found).text + "\n"
    yield from _attributes(attributes(found))
    for name, function in methods(found):
        yield from _method(found, name, function)


def _attributes(listed: list[Attribute]) -> Iterator[str]:
    for attribute in listed:
        kind = f": {attribute.kind}" if attribute.kind else ""
        default = f" = {attribute.default}" if attribute.default else ""
        yield f"- `{_inline(attribute.name + kind + default)}`: {attribute.meaning}"
    if listed:
        yield ""


def _method(found: type, name: str, function: FunctionType) -> Iterator[str]:
    told = docstring(function)
    shown = found.__name__ if name == "__init__" else name
    is_property = isinstance(vars(found)[name], property)
    needed = "*Needed.* " if getattr(function, "__isabstractmethod__", False) else ""
    yield f"```\n{name if is_property else signature(shown, function)}\n```\n"
    yield needed + told.text + "\n"
    for heading, entries in told.sections.items():
        if heading in ("Returns", "Yields"):
            yield f"{heading}: {entries[0][1]}\n"
        else:
            yield f"{heading}:\n"
            yield "\n".join(f"- `{one}`: {meaning}" for one, meaning in entries) + "\n"


def _contract(found: type) -> Iterator[str]:
    """Write one contract: what its author gives, and what it checks."""
    yield f"### {found.__name__}\n"
    yield docstring(found).text + "\n"
    yield from _attributes(attributes(found))
    yield "It checks:\n"
    parts = [part for part in found.__mro__ if part.__module__.startswith(contracts.__name__)]
    tests: dict[str, str] = {}
    for part in parts if found.__name__ != "BackendContract" else parts[1:]:
        for name, function in vars(part).items():
            if name.startswith("test_"):
                tests.setdefault(name, docstring(function).text)
    yield "\n".join(f"- **{_sentence(name)}.** {' '.join(text.split())}" for name, text in tests.items()) + "\n"


def _sentence(name: str) -> str:
    told = name.removeprefix("test_").replace("_", " ")
    for written, meant in SPELLINGS.items():
        told = told.replace(written, meant)
    return told[0].upper() + told[1:]


def _kit(module: ModuleType) -> Iterator[str]:
    """Write one module of the test kit: its public functions."""
    yield f"### {module.__name__}\n"
    yield _text(module) + "\n"
    for name, found in vars(module).items():
        function = getattr(found, "__wrapped__", found)
        if name[0] != "_" and getattr(found, "__module__", "") == module.__name__ and inspect.isfunction(function):
            code = name if module is fixtures else signature(name, function, wraps=False)
            yield f"- `{code}`: {docstring(function).text.splitlines()[0]}"
    yield ""


def _used(module: ModuleType, name: str) -> str:
    """Write one line on a function, a class, or a method that stands behind its class."""
    owner, _, method = name.partition(".")
    found = getattr(module, owner)
    shown = name if method else f"{module.__name__}.{name}"
    if method:
        found = vars(found)[method]
        found = getattr(found, "__func__", found)
    made = getattr(found, "__init__", None) if inspect.isclass(found) else found
    code = signature(shown, made, wraps=False) if inspect.isfunction(made) and made.__doc__ else shown
    return f"- `{code}`: {docstring(found).text.splitlines()[0]}"


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
