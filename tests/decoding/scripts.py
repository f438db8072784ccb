"""Models that say what a test wants them to say, and requests to them."""

from __future__ import annotations

import numpy as np

from olpipe.decoding.logits_runner import LogitsRunner
from olpipe.decoding.reading import CallFormat, Markers, ThinkingFormat
from olpipe.families.chat_template import TemplateFiles
from olpipe.families.rendering import ChatRenderer
from olpipe.generation import Completion, GenerateRequest, SamplingParams, Tool
from olpipe.messages import Message

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "

THINK = ThinkingFormat("<think>", "</think>", after_begin="\n", after_end="\n\n")
HERMES = CallFormat("<tool_call>", "</tool_call>", before="\n", after="\n", gap="\n")
MARKERS = Markers(THINK, HERMES)

LOOK = Tool("look", "Look at something.", '{"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}')
COUNT = Tool(
    "count",
    "Count things.",
    '{"type":"object","properties":{"most":{"type":"integer","minimum":0,"maximum":9},"all":{"type":"boolean"}},'
    '"required":["most","all"]}',
)
CALL = '<tool_call>\n{"name": "look", "arguments": {"at": "sea"}}\n</tool_call>'
COUNTING = '<tool_call>\n{"name": "count", "arguments": {"most": 3, "all": true}}\n</tool_call>'


class Script:
    """A sequence that says one text. Where something else is forced on it, it ends its answer.

    Attributes:
        capacity: How many tokens it has room for.
        said: The answer so far.
        prefills: How many prompts it was given.
    """

    def __init__(self, vocabulary, text, asked, capacity):
        self._vocabulary, self._text, self._asked, self.capacity = vocabulary, text, asked, capacity
        self.said, self.prefills = b"", 0

    def prefill(self, prompt, start):
        self.prefills += 1
        self.said = self._spelt(prompt.tokens[len(self._asked[-1]) :])
        return self._logits()

    def decode(self, tokens):
        self.said += self._spelt(tokens)
        return self._logits()

    def _logits(self):
        logits = np.zeros(self._vocabulary.size, np.float32)
        logits[[*self._rest(), *self._vocabulary.end_tokens][0]] = 9
        return logits

    def _rest(self):
        """Return the tokens of what is not said yet; they may begin within a character."""
        text = self._text.encode()
        rest = text[len(self.said) :] if text.startswith(self.said) else b""
        try:
            return self._vocabulary.going_on(rest.decode())
        except UnicodeDecodeError:
            return self._vocabulary.tokenizer.tokenize_bytes(rest)

    def _spelt(self, tokens):
        return self._vocabulary.bytes_of(tokens, visible=self._vocabulary.added_tokens)


def scripted(vocabulary, text, *, markers=MARKERS, template=TEMPLATE, sequences=None):
    """Return a runner whose model says a text. Its sequences are added to a list, where one is given."""

    render = ChatRenderer(vocabulary, TemplateFiles(template, {}, adds_begin=False))
    asked = []

    def asking(request):
        asked.append(render(request))
        return asked[-1]

    def opened(capacity):
        sequence = Script(vocabulary, text, asked, capacity)
        if sequences is not None:
            sequences.append(sequence)
        return sequence

    return LogitsRunner(vocabulary, opened, asking, context_length=600, markers=markers)


def random_runner(model, *, markers=MARKERS, template=TEMPLATE, context_length=1024):
    """Return a runner of a model with random weights."""
    render = ChatRenderer(model.vocabulary, TemplateFiles(template, {}, adds_begin=False))
    return LogitsRunner(model.vocabulary, model.sequence, render, context_length=context_length, markers=markers)


def ask(text="the dog", *, max_tokens=99, temperature=0.0, seed=None, stop=(), **options):
    """Return a request."""
    sampling = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed, stop=stop)
    return GenerateRequest("toy", (Message.of("user", text),), sampling, **options)


def complete(runner, request):
    """Return the whole answer to a request."""
    return Completion.of(list(runner.generate(runner.prepare(request))))


def made(answer):
    """Return the names and the arguments of an answer's tool calls."""
    return [(call.name, call.arguments) for call in answer.tool_calls]
