"""Spans of real requests: from the SDK's own memory, and by OTLP from a real process."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from service.contract.bundle import Bundle
from service.settings import Settings
from tests.kit.fakes import RED, encoded, picture
from tests.kit.serving import ROOT, serving
from tests.service.server.logs.test_requests import process

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

PNG = encoded(picture(RED), "PNG")
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["read", "decode", "queue", "engine", "answer"]


@contextmanager
def traced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[httpx2.Client, "Spans"]]:
    memory = InMemorySpanExporter()
    monkeypatch.setattr("service.server.logs.traces.exporter", lambda: memory)
    spans = Spans()
    with serving(settings.model_copy(update={"traces": True})) as client:
        yield client, spans
    spans.found = list(memory.get_finished_spans())  # those that the end sent, too


class Spans:
    """What was exported, once the service has ended."""

    found: list[ReadableSpan]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.found if span.name == name]


def test_a_request_is_a_span_with_a_span_for_each_stage(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "x-request-id": "of-mine"}
    with traced(settings, monkeypatch) as (client, spans):
        files = [("chip", ("secret.png", PNG)), ("chip", ("b.png", b"none"))]
        assert client.post("/predict?members=true", files=files, headers=headers).status_code == 200
    (request,) = spans.named("POST /predict")
    assert request.context and request.parent and request.attributes
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == CALLER
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "chipvote.request_id": "of-mine",
        "chipvote.chips": 2,
        "chipvote.failed": 1,
    }
    inside = sorted(
        (span for span in spans.found if span.parent and span.parent.span_id == request.context.span_id),
        key=lambda span: (span.start_time or 0, STAGES.index(span.name)),
    )
    assert sorted(span.name for span in inside) == sorted(STAGES)
    assert request.start_time and request.end_time
    for span in inside:
        assert span.start_time and span.end_time
        # Milliseconds of the log are rounded.
        assert request.start_time - 10_000 <= span.start_time <= span.end_time <= request.end_time
    assert inside[0].name == "read" and inside[-1].name == "answer"
    assert request.resource.attributes["service.name"] == "chipvote"
    assert "secret" not in "".join(span.to_json() for span in spans.found)


def test_whatever_ends_it_a_request_has_its_span(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with traced(settings, monkeypatch) as (client, spans):
        assert client.get("/nothing").status_code == 404
        assert client.head("/labels").status_code == 200
        assert (
            client.post("/predict", content=b"none", headers={"content-type": "image/png"}).status_code == 415
        )
        assert client.request("PROPFIND", "/labels", headers={"traceparent": "00-zz"}).status_code == 405
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr("service.server.routes.chips.answer", lambda *_: 1 / 0)
            failed = client.post("/predict", content=PNG, headers={"content-type": "image/png"})
            assert failed.status_code == 500
    assert len(spans.named("HEAD /labels")) == 1
    refused, broke = spans.named("POST /predict")
    assert refused.status.is_unset and not broke.status.is_ok and not broke.status.is_unset
    (unknown,), (other,) = (
        spans.named("GET"),
        [span for span in spans.found if span.name.startswith("_OTHER")],
    )
    assert unknown.attributes and unknown.attributes["http.response.status_code"] == 404
    assert unknown.parent is None and other.parent is None


def test_who_samples_nothing_gets_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with traced(settings, monkeypatch) as (client, spans):
        assert client.get("/labels").status_code == 200
    assert spans.found == []


def test_a_process_sends_them_by_otlp_where_the_environment_says(colours: Bundle) -> None:
    received: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever).start()
        told = {
            "CHIPVOTE_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
            "OTEL_SERVICE_NAME": "chips-of-mine",
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",  # its spans would tell more
            "OTEL_BSP_SCHEDULE_DELAY": "60000",  # so that only the end sends them
        }
        with process(colours, **told) as service:
            assert httpx2.post(f"{service.url}/predict", files={"chip": PNG}, timeout=60).status_code == 200
            assert service.end()
            assert service.process.returncode == 0
        receiver.shutdown()
    found = [each for request in received for each in request.resource_spans]
    names = [span.name for each in found for scope in each.scope_spans for span in scope.spans]
    assert sorted(names) == sorted(["POST /predict", *STAGES])
    named = {pair.key: pair.value.string_value for pair in found[0].resource.attributes}
    assert named["service.name"] == "chips-of-mine"


def test_a_receiver_that_is_gone_costs_its_traces_alone(colours: Bundle) -> None:
    told = {"CHIPVOTE_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with process(colours, **told, OTEL_EXPORTER_OTLP_TIMEOUT="1", OTEL_BSP_SCHEDULE_DELAY="100") as service:
        for _ in range(3):
            assert httpx2.post(f"{service.url}/predict", files={"chip": PNG}, timeout=60).status_code == 200
        lines = service.end()
        assert service.process.returncode == 0
    assert all(json.loads(line)["level"] for line in lines)


SCRIPT = """
import sys
from service.contract.errors import SettingsError
from service.server.app import create_app
from service.settings import Settings

create_app(Settings())
print(any(name.startswith("opentelemetry.sdk") for name in sys.modules))
sys.modules["opentelemetry.sdk.resources"] = None
try:
    create_app(Settings(traces=True))
except SettingsError as error:
    print(error)
"""


def test_who_wants_none_needs_no_library_and_who_wants_some_is_told_which() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported, said = done.stdout.splitlines()
    assert imported == "False"
    assert said.startswith("CHIPVOTE_TRACES=true: OpenTelemetry is not installed")
    assert said.endswith("`pip install 'chipvote[otel]'`")
