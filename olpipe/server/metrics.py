"""What the server has done so far, in the text format of Prometheus.

Nothing is counted for each token: the last piece of an answer says how many there were, and how long they took.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from olpipe import __version__
from olpipe.embedding import Embeddings
from olpipe.errors import InvalidName, OlpipeError
from olpipe.generation import Chunk, Timings, Usage
from olpipe.model import ModelName

if TYPE_CHECKING:
    from olpipe.engine.manager import Engine

CONTENT_TYPE = CONTENT_TYPE_LATEST
_NS = 1e-9
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RATES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """Counts what a server does. Any thread may call it."""

    def __init__(self, engine: Engine) -> None:
        """Begin to count.

        Args:
            engine: Knows the loaded models. It is asked when somebody looks.
        """
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Loaded(engine))
        by_model = ["model"]
        self._requests = self._counter("requests", "Requests, by route and status", ["route", "method", "status"])
        self._seconds = self._histogram("request_seconds", "How long requests took, streams included", ["route"])
        self._open = Gauge("olpipe_requests_open", "Requests that are being answered", registry=self._registry)
        self._answers = self._counter("answers", "Answers of models, by how they ended", ["model", "finish_reason"])
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts and of texts for vectors", by_model)
        self._cached = self._counter("cached_prompt_tokens", "Those of them that were in the cache", by_model)
        self._cut = self._counter(
            "cut_prompt_tokens", "Tokens that were left out of prompts, by their length", by_model
        )
        self._sampled = self._counter("sampled_tokens", "Tokens that models chose", by_model)
        self._forced = self._counter("forced_tokens", "Tokens that a grammar left no choice about", by_model)
        self._first = self._histogram("first_token_seconds", "From a request to its first token", by_model)
        self._rate = self._histogram("tokens_per_second", "How fast answers were written", by_model, _RATES)
        self._load = self._histogram("load_seconds", "How long requests waited for a model to be loaded", by_model)
        self._errors = self._counter("errors", "Errors that clients were told of, by class", ["error"])
        self._ended = self._counter("failed_answers", "Answers that an error ended, by class", ["model", "error"])
        about = Gauge("olpipe_info", "The version of the server", ["version"], registry=self._registry)
        about.labels(__version__).set(1)

    def began(self) -> None:
        """Count a request that has come in."""
        self._open.inc()

    def ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that is over.

        Args:
            route: The path of its route, with the names of its parameters; empty where it has no route.
            method: Its method.
            status: The status of its response; 499 where the client went away before.
            seconds: How long it took.
        """
        self._open.dec()
        self._requests.labels(route or "none", method if route else "any", status).inc()
        if route:
            self._seconds.labels(route).observe(seconds)

    def failed(self, error: OlpipeError) -> None:
        """Count an error that a client was told of."""
        self._errors.labels(type(error).__name__).inc()

    def answered(self, model: str, end: Chunk | OlpipeError) -> None:
        """Count an answer that has ended.

        Args:
            model: The model, as the client spelled it.
            end: The last piece of the answer, or what ended it.
        """
        model = _label(model)
        if isinstance(end, OlpipeError):
            self._ended.labels(model, type(end).__name__).inc()
            return
        usage, timings = end.usage or Usage(), end.timings or Timings()
        assert end.finish_reason is not None
        self._answers.labels(model, end.finish_reason.value).inc()
        self._prompt.labels(model).inc(usage.prompt_tokens)
        self._cached.labels(model).inc(timings.reused_tokens)
        self._cut.labels(model).inc(usage.cut_tokens)
        self._sampled.labels(model).inc(usage.sampled_tokens)
        self._forced.labels(model).inc(usage.forced_tokens)
        self._loaded(model, timings)
        written = usage.sampled_tokens + usage.forced_tokens
        if written:
            waited = timings.load_ns + timings.queue_ns + timings.fit_ns + timings.encode_ns + timings.prompt_ns
            self._first.labels(model).observe(waited * _NS)
        if written and timings.decode_ns:
            self._rate.labels(model).observe(written / (timings.decode_ns * _NS))

    def embedded(self, model: str, found: Embeddings) -> None:
        """Count texts that were turned into vectors."""
        label = _label(model)
        self._prompt.labels(label).inc(found.prompt_tokens)
        self._loaded(label, found.timings)

    def page(self) -> bytes:
        """Return all numbers. This asks the system for the memory of each model, so it may wait."""
        return generate_latest(self._registry)

    def _loaded(self, model: str, timings: Timings) -> None:
        if timings.load_ns:
            self._load.labels(model).observe(timings.load_ns * _NS)

    def _counter(self, name: str, about: str, labels: list[str]) -> Counter:
        return Counter(f"olpipe_{name}", about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, labels: list[str], buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(f"olpipe_{name}", about, labels, buckets=buckets, registry=self._registry)


class _Loaded(Collector):
    """What the engine knows of each model at the moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield what is loaded, how much memory it takes, and who waits for it."""
        memory = GaugeMetricFamily("olpipe_model_memory_bytes", "Memory of the process of a model", labels=["model"])
        active = GaugeMetricFamily("olpipe_model_active", "Requests that a model answers or will", labels=["model"])
        waiting = GaugeMetricFamily("olpipe_model_waiting", "Those of them that have not begun", labels=["model"])
        loaded = self._engine.loaded()
        sums: dict[str, list[int]] = {}
        for one in loaded:
            row = sums.setdefault(str(one.name), [0, 0, 0])
            for at, number in enumerate((one.size_bytes, one.active, one.waiting)):
                row[at] += number
        for name, row in sums.items():
            for family, number in zip((memory, active, waiting), row, strict=True):
                family.add_metric([name], number)
        loading = sum(one.is_loading for one in loaded)
        yield GaugeMetricFamily("olpipe_models_loaded", "Models in memory", value=len(loaded) - loading)
        yield GaugeMetricFamily("olpipe_models_loading", "Models that are being loaded", value=loading)
        yield GaugeMetricFamily("olpipe_queue_length", "Requests that wait", value=sum(one.waiting for one in loaded))
        yield from (memory, active, waiting)


def _label(model: str) -> str:
    """Return one label for all the ways to write the name of a model, of which there are too many."""
    try:
        return str(ModelName.parse(model)).lower()
    except InvalidName:
        return "none"
