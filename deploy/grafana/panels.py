"""Queries, panels and their places, for `make_dashboard`; knows Grafana and no metric of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

Panel = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, STAT_HEIGHT, HEIGHT = 24, 4, 8
TEXT, GOOD, WARNING, BAD = "text", "green", "orange", "red"


def of(metric: str, *matchers: str) -> str:
    """Select a metric of the services that are shown."""
    matching = ", ".join(('job="chipvote"', 'instance=~"$instance"', *matchers))
    return f"{metric}{{{matching}}}"


def rate(metric: str, *matchers: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Add up the rise per second of a counter."""
    return f"sum{f' by ({by}) ' if by else ''}(rate({of(metric, *matchers)}[{over}]))"


def mean(histogram: str) -> str:
    """Return the mean of what a histogram saw."""
    return f"{rate(f'{histogram}_sum')} / {rate(f'{histogram}_count')}"


def percentiles(histogram: str, *matchers: str) -> dict[str, str]:
    """Return the percentiles of what a histogram saw, by their names."""
    buckets = rate(f"{histogram}_bucket", *matchers, by="le")
    names = {"median": 0.5, "90th percentile": 0.9, "99th percentile": 0.99}
    return {name: f"histogram_quantile({share}, {buckets})" for name, share in names.items()}


def share_up_to(histogram: str, limit: int) -> str:
    """Return the share of a histogram's values up to a limit, which must be one of its buckets'."""
    within = rate(f"{histogram}_bucket", f'le="{limit}.0"')
    return f"{within} / {rate(f'{histogram}_count')}"


def panel(
    kind: str, title: str, description: str, queries: Mapping[str, str], unit: str, width: int, height: int
) -> Panel:
    """Return a panel of any kind.

    Queries have the names of their lines as keys; {{label}} in a name stands for a label's value.
    """
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
        for index, (legend, expr) in enumerate(queries.items())
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "noValue": "–"}, "overrides": []},
        "targets": targets,
    }


def stat(
    title: str,
    description: str,
    queries: Mapping[str, str],
    *,
    unit: str = "none",
    width: int = 4,
    text: str = "value",
    steps: Sequence[tuple[str, float | None]] = ((TEXT, None),),
) -> Panel:
    """Return how things are now: figures in the colour of the last step that they reach."""
    made = panel("stat", title, description, queries, unit, width, STAT_HEIGHT)
    thresholds = [{"color": color, "value": reached} for color, reached in steps]
    made["fieldConfig"]["defaults"] |= {
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": thresholds},
    }
    made["options"] = {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": text,
    }
    for target in made["targets"]:
        target |= {"instant": True, "range": False}
    return made


def lines(
    title: str,
    description: str,
    queries: Mapping[str, str],
    *,
    unit: str = "none",
    width: int = 8,
    stacked: bool = False,
) -> Panel:
    """Return how things went: lines, or areas on top of each other."""
    made = panel("timeseries", title, description, queries, unit, width, HEIGHT)
    made["fieldConfig"]["defaults"]["custom"] = {
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    made["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def bars(title: str, description: str, queries: Mapping[str, str], *, by: str, unit: str) -> Panel:
    """Return groups of bars: for each value of a label, what every query says of it."""
    made = panel("barchart", title, description, queries, unit, WIDTH, HEIGHT)
    names = {f"Value #{target['refId']}": target.pop("legendFormat") for target in made["targets"]}
    for target in made["targets"]:
        target |= {"instant": True, "range": False, "format": "table"}
    made["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": [by, *names]}}},
        {"id": "joinByField", "options": {"byField": by, "mode": "outer"}},
        {"id": "organize", "options": {"renameByName": names}},
    ]
    made["options"] = {
        "xField": by,
        "xTickLabelRotation": -30,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    return made


def placed(panels_by_row: Mapping[str, Sequence[Panel]]) -> list[Panel]:
    """Return headings and panels with their places and numbers."""
    x = y = 0
    done: list[Panel] = []
    for title, panels in panels_by_row.items():
        done.append({"type": "row", "title": title, "collapsed": False, "panels": []})
        done[-1]["gridPos"] = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        y += 1
        for made in panels:
            made["gridPos"] |= {"x": x, "y": y}
            x += made["gridPos"]["w"]
            if x == WIDTH:
                x, y = 0, y + made["gridPos"]["h"]
            done.append(made)
    return [{"id": number, **made} for number, made in enumerate(done, start=1)]


def choice(name: str, title: str, query: str) -> dict[str, Any]:
    """Return a variable that whoever looks chooses values of, all of them to begin with."""
    return {
        "name": name,
        "label": title,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": f"{name}s"},
        "refresh": 2,  # when the time range changes
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "sort": 1,
    }


def board(
    uid: str, title: str, rows: Mapping[str, Sequence[Panel]], *variables: dict[str, Any]
) -> dict[str, Any]:
    """Return a dashboard of the last hour."""
    return {
        "uid": uid,
        "title": title,
        "tags": [uid],
        "editable": False,
        "schemaVersion": 39,
        "version": 2,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "timezone": "browser",
        "graphTooltip": 1,  # one crosshair for all panels
        "templating": {"list": list(variables)},
        "annotations": {"list": []},
        "panels": placed(rows),
    }
