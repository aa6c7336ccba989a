"""Print the dashboard, deploy/grafana/dashboards/chipvote.json: what is shown, row by row.

    python deploy/grafana/make_dashboard.py > deploy/grafana/dashboards/chipvote.json

Grafana reads the file and nobody edits it; tests/system/test_dashboard.py holds that it is what
this prints. Panels fill their row from left to right, as wide as they say, of 24.
"""

import json
import sys
from typing import Any

from panels import (
    BAD,
    GOOD,
    WARNING,
    Panel,
    bars,
    board,
    choice,
    lines,
    mean,
    of,
    percentiles,
    rate,
    share_up_to,
    stat,
)

USERS = 'route!~"/health/.*|/metrics"'  # no probes, no scrapes
PREDICT = 'route="/predict"'
ANSWERED = 'outcome="answered"'
SERVED = "name, version, precision, device"
LATENCY, BATCHES, ENGINE = "chipvote_request_seconds", "chipvote_batch_chips", "chipvote_engine_seconds"


def label_share(over: str) -> str:
    """Return each label's share of the answered chips."""
    labels = rate("chipvote_labels_predicted_total", by="label", over=over)
    return f"{labels} / on () group_left () {rate('chipvote_chips_total', ANSWERED, over=over)}"


def now() -> list[Panel]:
    """Return whether all is well."""
    requests, failed = (
        rate("chipvote_requests_total", USERS, *m) for m in ((), ('status=~"5.."', 'status!~"503|504"'))
    )
    bundle = of("chipvote_bundle_info")
    return [
        stat(
            "Services",
            "Answering Prometheus, and ready: the golden answers were reproduced and chips are accepted.",
            {"up": f"sum({of('up')})", "ready": f"sum({of('chipvote_ready')})"},
            text="value_and_name",
            steps=((BAD, None), (GOOD, 1)),
        ),
        stat("Chips per second", "Answered.", {"": rate("chipvote_chips_total", ANSWERED)}, width=3),
        stat(
            "90th percentile",
            "Of /predict, from a request's first byte to its answer's last.",
            {"": percentiles(LATENCY, PREDICT)["90th percentile"]},
            unit="s",
            steps=((GOOD, None), (WARNING, 1), (BAD, 5)),
        ),
        stat(
            "Failed requests",
            "Share answered with a 5xx status but 503; probes and scrapes not counted.",
            {"": f"({failed} or vector(0)) / ({requests} > 0)"},
            unit="percentunit",
            steps=((GOOD, None), (BAD, 0.01)),
        ),
        stat(
            "Fullest queue",
            "Places taken, as a share of all; where none is left, the answer is 503.",
            {"": f"max({of('chipvote_queue_places_taken')} / {of('chipvote_queue_places')})"},
            unit="percentunit",
            width=3,
            steps=((GOOD, None), (BAD, 0.9)),
        ),
        stat(
            "Bundle",
            "What is being served, at which precision and where, and by how many services.",
            {"{{name}} {{version}}, {{precision}} on {{device}}": f"count by ({SERVED}) ({bundle})"},
            width=6,
            text="value_and_name",
        ),
    ]


def requests() -> list[Panel]:
    """Return what came, how fast it was answered and what went wrong."""
    return [
        lines(
            "Requests by status",
            "Without probes and scrapes.",
            {"{{status}}": rate("chipvote_requests_total", USERS, by="status")},
            unit="reqps",
            width=12,
            stacked=True,
        ),
        lines(
            "Prediction time",
            "Of /predict, from a request's first byte to its answer's last.",
            percentiles(LATENCY, PREDICT),
            unit="s",
            width=12,
        ),
        lines(
            "Errors by status",
            "4xx is the client's fault, 503 too much load, any other 5xx ours: its traceback is in the log.",
            {"{{status}} {{route}}": rate("chipvote_requests_total", 'status=~"[45].."', by="status, route")},
            unit="reqps",
        ),
        lines(
            "Refused chips by reason",
            "A bad chip that came alone is its request's error; one of many is answered in its place.",
            {"{{reason}}": rate("chipvote_refused_chips_total", by="reason")},
            unit="cps",
        ),
        lines(
            "Chips by outcome",
            "Refused chips are bad input; failed chips are the service's fault.",
            {"{{outcome}}": rate("chipvote_chips_total", by="outcome")},
            unit="cps",
            stacked=True,
        ),
    ]


def services() -> list[Panel]:
    """Return how services beside each other differ; all other rows but Engine add them up."""
    slow = rate(f"{LATENCY}_bucket", PREDICT, by="le, instance")
    return [
        lines(
            "Chips per second by service",
            "Answered. Unequal where services differ, or where whoever spreads the requests passes one over.",
            {"{{instance}}": rate("chipvote_chips_total", ANSWERED, by="instance")},
        ),
        lines(
            "90th percentile by service",
            "Of /predict, from a request's first byte to its answer's last.",
            {"{{instance}}": f"histogram_quantile(0.9, {slow})"},
            unit="s",
        ),
        lines(
            "Expected wait by service",
            "Of one more chip, from the rate of the last answers.",
            {"{{instance}}": of("chipvote_expected_wait_seconds")},
            unit="s",
        ),
    ]


def engine() -> list[Panel]:
    """Return how chips wait and what the members' runs take."""
    engine_s = rate(f"{ENGINE}_sum")
    return [
        lines(
            "Queue",
            "Chips before the engine, and places taken of all. Always many: the engine is the bottleneck.",
            {
                "{{instance}} waiting": of("chipvote_queue_chips"),
                "{{instance}} taken": of("chipvote_queue_places_taken"),
                "{{instance}} places": of("chipvote_queue_places"),
            },
        ),
        lines(
            "Chips per batch",
            "Grows with load: the engine takes what waits whenever it is free.",
            {"mean": mean(BATCHES), "99th percentile": percentiles(BATCHES)["99th percentile"]},
        ),
        lines(
            "Time in the engine",
            "Of a batch, all members that ran; and the mean of a chip.",
            {**percentiles(ENGINE), "mean of a chip": f"{engine_s} / {rate(f'{BATCHES}_sum')}"},
            unit="s",
        ),
        lines(
            "Engine threads at work",
            "At most 1 on a GPU, and the number of cores on most CPUs; at most, more load only waits.",
            {"{{instance}}": rate(f"{ENGINE}_sum", by="instance")},
            width=12,
        ),
        lines(
            "Members per chip",
            "Fewer than the bundle has with early exit: a chip leaves once no member can change its labels.",
            {"mean": mean("chipvote_chip_members")},
            width=12,
        ),
    ]


def labels() -> list[Panel]:
    """Return whether the answers look like the training chips' labels."""
    prevalence = f"max by (label) ({of('chipvote_label_prevalence')})"
    return [
        bars(
            "Share of chips with each label, and in training",
            "Over the time shown. Far apart: the ground, the season or the sensor is not the training's.",
            {"now": label_share("$__range"), "in training": prevalence},
            by="label",
            unit="percentunit",
        ),
        lines(
            "Share of chips with each label",
            "Over 15 minutes. A lasting change means other input than before.",
            {"{{label}}": label_share("15m")},
            unit="percentunit",
            width=12,
        ),
        lines(
            "Share of chips with each label, as a multiple of that in training",
            "Over 15 minutes; 1 is what training saw.",
            {"{{label}}": f"{label_share('15m')} / on (label) ({prevalence} > 0)"},
            width=12,
        ),
    ]


def vote() -> list[Panel]:
    """Return how sure the members were."""
    which = "Of chips that all members voted on; with early exit, these are the doubtful ones. Votes only."
    limits = {"1": 1, "1 or 2": 2, "1 to 3": 3}
    return [
        lines(
            "Chips with a narrow vote",
            f"Share whose labels would change if so many votes, by weight, changed sides. {which}",
            {name: share_up_to("chipvote_vote_margin", limit) for name, limit in limits.items()},
            unit="percentunit",
        ),
        lines(
            "Contested labels per chip",
            f"Labels on which the members disagree. {which}",
            {"mean": mean("chipvote_contested_labels")},
        ),
        lines(
            "Chips with a contested label",
            f"Share on which the members disagree at all. {which}",
            {"share": f"1 - {share_up_to('chipvote_contested_labels', 0)}"},
            unit="percentunit",
        ),
    ]


def resources() -> list[Panel]:
    """Return what the processes take."""
    return [
        lines(
            "Device memory",
            "Of the GPU: used, by whichever process, and total. Nothing on a CPU.",
            {"{{instance}} {{kind}}": of("chipvote_device_memory_bytes")},
            unit="bytes",
        ),
        lines(
            "Memory",
            "Resident; and of it bodies in flight, beyond whose most the answer is 503.",
            {
                "{{instance}}": of("process_resident_memory_bytes"),
                "{{instance}} bodies": of("chipvote_body_bytes"),
                "{{instance}} bodies at most": of("chipvote_body_bytes_most"),
            },
            unit="bytes",
        ),
        lines("CPU", "Cores in use.", {"{{instance}}": rate("process_cpu_seconds_total", by="instance")}),
    ]


def dashboard() -> dict[str, Any]:
    """Return what Grafana reads."""
    rows = {
        "Now": now(),
        "Requests": requests(),
        "Services": services(),
        "Engine": engine(),
        "Labels": labels(),
        "Vote": vote(),
        "Resources": resources(),
    }
    which = choice("instance", "Service", 'label_values(up{job="chipvote"}, instance)')
    return board("chipvote", "Chipvote", rows, which)


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1, ensure_ascii=False)
    print()
