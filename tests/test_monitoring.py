"""The dashboard and the alerts ask for what /metrics tells, in valid PromQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from chat.health import _Queue
from chat.store import Load

DEPLOY = Path(__file__).parent.parent / "deploy"
OTHERS = {"up"}  # which Prometheus itself makes


def queries() -> Iterator[tuple[str, str]]:
    """Where each stands, and the query."""
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m")
            yield f"{panel['title']} {target['refId']}", query


QUERIES = list(queries())


def asked_for(query: str) -> set[str]:
    """The metrics that a query asks for."""

    def look(node: Any) -> Iterator[str]:
        if isinstance(node, promql_parser.VectorSelector):
            yield str(node.name)
        for part in ("expr", "lhs", "rhs", "vector_selector", "args"):
            inner = getattr(node, part, None)
            for child in inner if isinstance(inner, list) else [inner]:
                if child is not None:
                    yield from look(child)

    return set(look(promql_parser.parse(query)))


def told() -> set[str]:
    """What /metrics tells."""
    queue = CollectorRegistry()
    queue.register(_Queue(Load([("running", "a", 1)], 0, 0.0, 0, 0, 0)))
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        metric.name + suffix
        for registry in (REGISTRY, queue)
        for metric in registry.collect()
        for suffix in suffixes.get(metric.type, [""])
    }


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_a_query_asks_for_what_is_told(where: str, query: str) -> None:
    asked = asked_for(query)
    assert asked, where
    assert asked <= told() | OTHERS


def test_every_metric_of_the_site_is_on_the_dashboard() -> None:
    shown = {name for _, query in QUERIES for name in asked_for(query)}
    ours = {metric.name for metric in REGISTRY.collect() if "site_" in metric.name}
    missing = {
        each for each in ours if not any(name.startswith(each) for name in shown)
    }
    assert missing == {"site_driven_runs"}  # of one process; site_runs is their sum
