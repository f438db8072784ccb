"""A backend without a model: it answers with the prompt, word by word.

Tests of everything above a backend use it as a real plugin in a real process. Its model is a folder with a file
`echo.json`. The file's keys are the fields of `EchoOptions`: with them, a test can make it slow, or make it fail, hang
or crash after the first word of an answer.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from olpipe.embedding import Embeddings, EmbedRequest
from olpipe.errors import ContextExceeded, ModelCorrupt, UsageError
from olpipe.generation import Chunk, FinishReason, GenerateRequest, SamplingParams, Timings, Usage
from olpipe.guidance.judge import judge
from olpipe.guidance.wire import wire_schema
from olpipe.hookspecs import hookimpl
from olpipe.image import USUAL_PIXELS, BoxDialect, ShownImage
from olpipe.interfaces import Backend, Prepared, Progress, ProgressCallback, Runner
from olpipe.messages import ImagePart, Message, Part, ToolCallPart
from olpipe.model import LoadOptions, ModelBundle, ModelConfig, ModelName, RunnerInfo
from olpipe.testing.documents import smallest

OPTIONS_FILE = "echo.json"
CRASH_EXIT_CODE = 70
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BOXES = BoxDialect("bbox_2d", "xyxy", "thousandths")
"""How it says boxes where its options say nothing else."""


@dataclass(frozen=True, slots=True)
class EchoOptions:
    """What `echo.json` may say.

    A text of `…_on` acts on requests whose last message contains it, and on texts to embed that contain it. Failing,
    hanging and crashing happen before the second word of an answer, so the message needs at least two words.

    Attributes:
        slots: Sequences answered side by side.
        context_length: Most words of a prompt.
        sees: Whether it takes images.
        generates: Whether it writes answers.
        guidance: Whether it holds answers to a schema.
        embeds: Whether it makes embeddings.
        build_s: How long building takes; every hundredth of a second is reported.
        load_s: How long loading takes.
        delay_s: Pause before each word.
        prepare_s: How long it takes to prepare a request that `slow_on` names.
        slow_on: Take `prepare_s` to prepare the request.
        fail_on: Raise an error in `step`.
        hang_on: Say so on stderr and never return from `step`.
        endless_on: Repeat the answer until cancelled.
        crash_on: Say so on stderr and end the process in `step`.
        threads_on: Answer with the number of threads that it was given.
        crash_on_load: End the process in `load`.
        fail_on_load: Raise an error in `load`.
        noise: Print to stdout before each word, as native libraries do.
        leak_mib: Memory to take with every answer and never to free.
        boxes: The fields of the `BoxDialect` that it says boxes in; None for a model that was not trained to say any.
        fitted: Width and height in pixels in which it sees every image.
        document: Its answer to everyone who asks for JSON. A request whose schema does not allow it fails. None
            answers with the smallest document.
    """

    slots: int = 1
    context_length: int = 4096
    sees: bool = True
    generates: bool = True
    guidance: bool = True
    embeds: bool = True
    build_s: float = 0.0
    load_s: float = 0.0
    delay_s: float = 0.0
    prepare_s: float = 0.0
    slow_on: str | None = None
    fail_on: str | None = None
    hang_on: str | None = None
    endless_on: str | None = None
    crash_on: str | None = None
    threads_on: str | None = None
    crash_on_load: bool = False
    fail_on_load: bool = False
    noise: bool = False
    leak_mib: int = 0
    boxes: Mapping[str, str] | None = field(default_factory=lambda: asdict(BOXES))
    fitted: Sequence[int] = (448, 448)
    document: Any = None


def echo_bundle(folder: Path, name: str = "echo", *, options: EchoOptions | None = None) -> ModelBundle:
    """Make an echo model in a folder."""
    path = folder / "model"
    path.mkdir(parents=True, exist_ok=True)
    (path / OPTIONS_FILE).write_text(json.dumps(asdict(options or EchoOptions())), encoding="utf-8")
    config = ModelConfig(model_format="echo", capabilities=("completion", "vision"))
    digest = "sha256:" + name.encode().hex().rjust(64, "0")[-64:]
    return ModelBundle(ModelName.parse(name), digest, path, folder / "cache", config)


@dataclass(frozen=True, slots=True)
class EchoPrepared(Prepared):
    """The whole answer, which is known beforehand."""

    question: str
    words: tuple[str, ...]
    thinking: str
    last: Chunk


class EchoRunner(Runner):
    """Gives each registered sequence one word a step."""

    def __init__(self, options: EchoOptions, context_length: int, system: str = "", threads: int = 0) -> None:
        pixels = USUAL_PIXELS if options.sees else 0
        abilities = (options.generates, options.guidance, options.embeds)
        boxes = BoxDialect(**options.boxes) if options.boxes else None  # type: ignore[arg-type]  # a file's own words
        self.info = RunnerInfo(context_length, options.slots, pixels, *abilities, boxes)
        self._options = options
        self._threads = threads
        self._system = system
        self._running: dict[int, Iterator[Chunk]] = {}
        self._leaked: list[bytes] = []

    def prepare(self, request: GenerateRequest) -> EchoPrepared:
        """Make the whole answer."""
        if request.top_logprobs is not None:
            raise UsageError("echo has no probabilities to report")
        if request.suffix is not None:
            raise UsageError("echo fills in no text before a suffix")
        if request.template:
            raise UsageError("echo uses no chat template")
        question = _spoken(request.messages[-1])
        if _holds(question, self._options.slow_on):
            time.sleep(self._options.prepare_s)
        heard = [_spoken(message) for message in request.messages]
        if all(message.role != "system" for message in request.messages):
            heard.append(self._system)
        prompt_tokens, most = sum(len(_words(text)) for text in heard), request.context_within(self.info.context_length)
        if prompt_tokens > most:
            message = f"the prompt takes {prompt_tokens} tokens, the model {most}"
            raise ContextExceeded(message, hint="send a shorter prompt")
        if _holds(question, self._options.threads_on):
            question = f"{self._threads} threads"
        calls = _calls(request, question)
        words, reason, spliced, stop = _answer(request, question, self._options.document)
        if calls and (request.guidance is not None or request.tool_choice.mode == "required"):
            words, spliced = (), 0  # a call comes in place of a document
        usage = Usage(prompt_tokens, sampled_tokens=len(words), spliced_tokens=spliced)
        reason = FinishReason.TOOL_CALLS if calls else reason
        width, height = self._options.fitted
        shown = tuple(ShownImage(width, height, 1) for message in request.messages for _ in message.images)
        last = Chunk("", "", calls, reason, usage, Timings(), shown=shown, stopped_by=stop)
        thinking = "Hm." if request.think not in (None, "off") else ""
        return EchoPrepared(prompt_tokens, question, words, thinking, last)

    def start(self, sequence_id: int, prepared: Prepared) -> None:
        """Take a slot."""
        assert isinstance(prepared, EchoPrepared)
        self._leaked.append(b"leaked!!" * (self._options.leak_mib << 17))
        if len(self._running) == self.info.slots:
            raise ValueError(f"this runner has {self.info.slots} slots, and they are taken")
        self._running[sequence_id] = self._speak(prepared)

    def step(self) -> Sequence[tuple[int, Chunk]]:
        """Return the next word of every answer."""
        spoken = [(sequence_id, next(answer)) for sequence_id, answer in self._running.items()]
        for sequence_id, chunk in spoken:
            if chunk.finish_reason is not None:
                self.stop(sequence_id)
        return spoken

    def stop(self, sequence_id: int) -> None:
        """Free the slot."""
        self._running.pop(sequence_id, None)

    def embed(self, request: EmbedRequest) -> Embeddings:
        """Return how often each letter from a to z is in a text, scaled to a vector of length 1."""
        import numpy as np

        for text in request.texts:
            if _holds(text, self._options.slow_on):
                time.sleep(self._options.prepare_s)
            self._misbehave(text)
        if request.dimensions is not None and request.dimensions > len(LETTERS):
            raise UsageError(f"`{request.model}` has {len(LETTERS)} dimensions, not {request.dimensions}")
        texts = ["".join(_words(text)[: self.info.context_length]) for text in request.texts]
        if tuple(texts) != request.texts and not request.truncate:
            raise ContextExceeded(f"a text is longer than the {self.info.context_length} words of the model")
        counts = [[text.lower().count(letter) for letter in LETTERS] for text in texts]
        vectors = np.array(counts, np.float32).reshape(len(counts), len(LETTERS))[:, : request.dimensions]
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        tokens = sum(len(_words(text)) for text in texts)
        return Embeddings((vectors / lengths).astype(np.float32), tokens)

    def _speak(self, prepared: EchoPrepared) -> Iterator[Chunk]:
        if prepared.thinking:
            yield Chunk(thinking=prepared.thinking)
        endless = _holds(prepared.question, self._options.endless_on)
        for said, word in enumerate(cycle(prepared.words) if endless else prepared.words):
            if said == 1:
                self._misbehave(prepared.question)
            if self._options.noise:
                os.write(1, b"noise from native code\n")
            time.sleep(self._options.delay_s)
            yield Chunk(word)
        yield prepared.last

    def _misbehave(self, question: str) -> None:
        if _holds(question, self._options.fail_on):
            raise RuntimeError("echo fails as told")
        if _holds(question, self._options.hang_on):
            _say("echo hangs as told")
            while True:
                time.sleep(60)
        if _holds(question, self._options.crash_on):
            _crash()


class EchoBackend(Backend):
    """Loads folders that hold an `echo.json`."""

    name = "echo"
    version = "1"

    def refuses(self, bundle: ModelBundle) -> str | None:
        """Read the options file."""
        if not (bundle.path / OPTIONS_FILE).is_file():
            return f"it has no {OPTIONS_FILE}"
        try:
            _options(bundle)
        except ModelCorrupt:
            return f"its {OPTIONS_FILE} cannot be used"
        return None

    def build(self, bundle: ModelBundle, progress: ProgressCallback) -> None:
        """Take as long as the options say."""
        hundredths = round(100 * _options(bundle).build_s)
        for done in range(hundredths):
            progress(Progress("building", done, hundredths, "hundredths"))
            time.sleep(0.01)

    def load(self, bundle: ModelBundle, options: LoadOptions) -> EchoRunner:
        """Read the options file."""
        echo = _options(bundle)
        if echo.fail_on_load:
            raise RuntimeError("echo fails as told")
        if echo.crash_on_load:
            _crash()
        time.sleep(echo.load_s)
        if options.slots:
            echo = replace(echo, slots=options.slots)
        context_length = min(options.context_length or echo.context_length, echo.context_length)
        return EchoRunner(echo, context_length, bundle.system, options.threads)


@hookimpl
def register_backends() -> Iterable[Backend]:
    """Return the echo backend."""
    return [EchoBackend()]


def _options(bundle: ModelBundle) -> EchoOptions:
    try:
        values: dict[str, Any] = json.loads((bundle.path / OPTIONS_FILE).read_text(encoding="utf-8"))
        return EchoOptions(**values)
    except (ValueError, TypeError) as error:
        raise ModelCorrupt(f"`{OPTIONS_FILE}` of `{bundle.name}` cannot be used: {error}") from error


def _calls(request: GenerateRequest, question: str) -> tuple[ToolCallPart, ...]:
    """Call every tool whose name is in the question, unless that is forbidden; at least one where that is required."""
    choice = request.tool_choice
    if choice.mode == "none":
        return ()
    offered = [tool for tool in request.tools if choice.name in (None, tool.name)]
    called = [tool for tool in offered if tool.name in question]
    if choice.mode == "required":
        if not offered:
            raise UsageError("a tool has to be called, but there is none to call")
        called = called or offered[:1]
    return tuple(
        ToolCallPart(f"call_{place}", tool.name, json.dumps(smallest(json.loads(tool.parameters or "{}"))))
        for place, tool in enumerate(called if choice.parallel else called[:1])
    )


def _answer(request: GenerateRequest, question: str, document: Any) -> tuple[tuple[str, ...], FinishReason, int, str]:
    """Return the words of the answer, why it ends, how many spliced tokens it holds, and the stop text that ended it.

    Args:
        request: What is asked.
        question: The text of the last message.
        document: The answer to everyone who asks for JSON; None for the smallest document.
    """
    guidance = request.guidance
    if guidance is None:
        words, reason, stop = _free_answer(_avoiding(question, request.avoid), request.sampling)
        return words, reason, 0, stop
    if guidance.kind not in ("json", "json_schema"):
        raise UsageError(f"echo does not follow guidance of the kind `{guidance.kind}`")
    constants = {name: json.loads(text) for name, text in guidance.constants}
    schema = json.loads(guidance.source or "{}")
    if document is None:
        document = smallest(schema, constants)
    else:
        judge(wire_schema(schema, without=constants)).validate(document)
        document = {**document, **constants}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    spliced = sum(len(_words(value)) for _, value in guidance.constants)
    return tuple(_words(text)), FinishReason.STOP, spliced, ""


def _free_answer(question: str, sampling: SamplingParams) -> tuple[tuple[str, ...], FinishReason, str]:
    at, stop = min([(question.index(stop), stop) for stop in sampling.stop if stop in question], default=(None, ""))
    words = _words(question[:at])
    if len(words) > sampling.max_tokens:
        return tuple(words[: sampling.max_tokens]), FinishReason.LENGTH, ""
    return tuple(words), FinishReason.STOP, stop


def _avoiding(question: str, avoid: Sequence[str]) -> str:
    """Leave out the words that are to be avoided."""
    if not avoid:
        return question
    return re.sub(rf"\s*\b(?:{'|'.join(map(re.escape, avoid))})\b", "", question, flags=re.IGNORECASE)


def _spoken(message: Message) -> str:
    """Return a message as text, each image as its size."""
    return " ".join(map(_part, message.parts))


def _part(part: Part) -> str:
    if isinstance(part, ImagePart):
        return f"[image {part.image.width}x{part.image.height}]"
    return f"{part.name}{part.arguments}" if isinstance(part, ToolCallPart) else part.text


def _words(text: str) -> list[str]:
    """Cut a text before its spaces; joined, the words are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)


def _holds(question: str, text: str | None) -> bool:
    return text is not None and text in question


def _crash() -> None:
    _say("echo crashes as told")
    os._exit(CRASH_EXIT_CODE)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
