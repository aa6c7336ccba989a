"""Requests → OpenTelemetry's spans: one for each request, and one for each of its stages.

Needs the extra `otel`, and is imported only where traces are wanted. Where they go, how many of
them, and under which name, is what the standard variables OTEL_* say. A span tells no more than a
line of the log: no query, no path, no name of a file. Who calls is asked for `traceparent` alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from service.contract.version import __version__
from service.engine import stages
from service.server.logs import notes
from service.server.logs.notes import Note

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE")
_PROPAGATOR = TraceContextTextMapPropagator()
_CONTEXT = (b"traceparent", b"tracestate")


def exporter() -> SpanExporter:
    """Return what sends spans away: OTLP over HTTP, to where OTEL_EXPORTER_OTLP_* say."""
    return OTLPSpanExporter()


class Tracing:
    """What traces requests while it is open, and nothing before and after."""

    def __init__(self) -> None:
        self.tracer: Tracer | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Trace; at the end, send what is left, in the time that the exporter has for it."""
        named = Resource({SERVICE_NAME: "chipvote", SERVICE_VERSION: __version__})
        provider = TracerProvider(resource=named.merge(OTELResourceDetector().detect()))
        provider.add_span_processor(BatchSpanProcessor(exporter()))
        self.tracer = provider.get_tracer("chipvote", __version__)
        try:
            yield
        finally:
            self.tracer = None
            provider.shutdown()


class Traces:
    """Makes spans of every request."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        tracer = self._tracing.tracer
        if scope["type"] != "http" or tracer is None:
            await self._app(scope, receive, send)
            return
        note = notes.current()
        # Durations are of the monotonic clock, whatever happens to the other one meanwhile.
        epoch_ns = time.time_ns() - round(time.perf_counter() * 1e9)
        brought = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CONTEXT
        }
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        span = tracer.start_span(
            method, _PROPAGATOR.extract(brought), SpanKind.SERVER, start_time=_ns(note.began_s, epoch_ns)
        )
        if not span.is_recording():
            await self._app(scope, receive, send)
            return
        with stages.collected() as chips:
            try:
                await self._app(scope, receive, send)
            finally:
                _tell(tracer, span, note, chips, epoch_ns)
                _describe(span, scope, note, method)
                span.end(_ns(time.perf_counter(), epoch_ns))


def _ns(moment_s: float, epoch_ns: int) -> int:
    return epoch_ns + round(moment_s * 1e9)


def _tell(tracer: Tracer, span: Span, note: Note, chips: list[stages.Stages], epoch_ns: int) -> None:
    """Make a span of each stage: the request's own, and those of its chips in the midst of them."""
    passed: dict[str, tuple[float, float]] = {}
    since_s, now_s = note.began_s, time.perf_counter()
    for name, took_ms in note.stages_ms.items():
        passed[name.removesuffix("_ms")] = since_s, since_s + took_ms / 1000
        since_s += took_ms / 1000
    _, voted_s = passed.pop("vote", (now_s, now_s))
    passed |= stages.spans(chips, voted_s)
    if passed:
        passed["answer"] = max(since_s, *(ended_s for _, ended_s in passed.values())), now_s
    inside = set_span_in_context(span)
    for name, (began_s, ended_s) in passed.items():
        stage = tracer.start_span(name, inside, start_time=_ns(began_s, epoch_ns))
        stage.end(_ns(ended_s, epoch_ns))


def _describe(span: Span, scope: Scope, note: Note, method: str) -> None:
    if "route" in scope:
        route = scope["route"].path
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    span.set_attributes({"http.request.method": method, "url.scheme": scope["scheme"]})
    span.set_attribute("chipvote.request_id", note.request_id)
    if note.status:
        span.set_attribute("http.response.status_code", note.status)
    if note.chips:
        span.set_attributes({"chipvote.chips": note.chips, "chipvote.failed": note.failed})
    if not 0 < note.status < 500:
        span.set_status(StatusCode.ERROR)
