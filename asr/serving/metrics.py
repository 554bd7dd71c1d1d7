"""The numbers that `GET /metrics` tells: requests, seconds of audio, latency, queue, workers, sizes of batches."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200)
_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        """Begin all of them at 0."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "asr_requests", "HTTP requests by route and status.", ("route", "status"), registry=self._registry
        )
        self.audio = Counter("asr_audio_seconds", "Seconds of audio transcribed.", ("model",), registry=self._registry)
        self.latency = Histogram(
            "asr_latency_seconds", "From the end of an upload to its answer.", buckets=_SECONDS, registry=self._registry
        )
        self.batches = Histogram(
            "asr_batch_size", "Recordings computed together.", buckets=_SIZES, registry=self._registry
        )
        self.replaced = Counter("asr_workers_replaced", "Model processes that died.", registry=self._registry)

    def watch(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for when it is shown."""
        Gauge(name, help_text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
