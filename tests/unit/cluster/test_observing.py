"""Alert rules, scrape configuration and dashboard: they fit their tools, and the metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.models import dashboard as grafana

from flux_actors.metering.samples import Kind
from flux_actors.metering.table import METRICS, OF_SCRAPE

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "cluster" / "deploy"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/flux.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [t["expr"] for panel in PANELS for t in panel["targets"]]
OF_PROMETHEUS = {"up": {"job", "instance"}}
SUFFIXES = ("_bucket", "_sum", "_count")


def parsed(expression: str) -> Any:
    """Return the syntax tree; a variable of Grafana stands for a time."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def selectors(tree: Any) -> list[Any]:
    """Return the selectors of series within a tree."""
    match type(tree).__name__:
        case "VectorSelector":
            return [tree]
        case "MatrixSelector":
            return [tree.vector_selector]
        case "BinaryExpr":
            return selectors(tree.lhs) + selectors(tree.rhs)
        case "Call":
            return [found for argument in tree.args for found in selectors(argument)]
        case "AggregateExpr" | "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            return selectors(tree.expr)
        case "NumberLiteral" | "StringLiteral":
            return []
        case other:
            raise AssertionError(f"unknown kind of expression: {other}")


def metric_of(series: str) -> str:
    """Return the metric that a series belongs to: histograms have three kinds."""
    for suffix in SUFFIXES:
        name = series.removesuffix(suffix)
        if name != series and name in METRICS and METRICS[name].kind is Kind.HISTOGRAM:
            return name
    return series


def labels_of(series: str) -> set[str]:
    """Return the labels that samples of a series have."""
    name = metric_of(series)
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    own = set() if name in OF_SCRAPE else {"process"}
    return {*METRICS[name].labels, *own, *({"le"} if series.endswith("_bucket") else ())}


def groupings(expression: str) -> list[str]:
    """Return the labels by which an expression groups."""
    found = re.findall(r"\bby \(([^)]*)\)", expression)
    return [label.strip() for group in found for label in group.split(",") if label.strip()]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_series_and_labels_that_there_are(expression):
    asked = selectors(parsed(expression))
    assert asked
    for selector in asked:
        series = selector.name
        assert metric_of(series) in METRICS or series in OF_PROMETHEUS, series
        if metric_of(series) in METRICS and METRICS[metric_of(series)].kind is Kind.HISTOGRAM:
            assert series.endswith(SUFFIXES), f"{series} is a histogram"
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels_of(series)
    known = set.intersection(*(labels_of(selector.name) for selector in asked))
    assert set(groupings(expression)) <= known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_asked_for_their_rate_and_nothing_else_is(expression):
    for function, series in re.findall(r"(rate|increase)\((\w+)", expression):
        kind = METRICS[metric_of(series)].kind
        assert kind in {Kind.COUNTER, Kind.HISTOGRAM}, (function, series)
    without = re.sub(r"(rate|increase)\([^)]*\)", "", expression)
    for series in re.findall(r"flux_[a-z_]+", without):
        assert METRICS[metric_of(series)].kind is Kind.GAUGE, series


def test_every_metric_is_on_the_dashboard():
    shown = {
        metric_of(s.name) for panel in PANELS for t in panel["targets"] for s in selectors(parsed(t["expr"]))
    }
    assert METRICS.keys() - shown == {"flux_process_info"}


def test_the_dashboard_is_one_that_grafana_reads():
    """Grafana's own types read it, and write it again without leaving anything out."""
    model = grafana.Dashboard.from_json(DASHBOARD)

    def plain(value: Any) -> Any:
        if hasattr(value, "to_json"):
            return plain(value.to_json())
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    written = plain(model)

    def missing(given: Any, got: Any, where: str = "") -> list[str]:
        if isinstance(given, dict):
            return [
                lost
                for key, value in given.items()
                for lost in (
                    missing(value, got[key], f"{where}.{key}")
                    if isinstance(got, dict) and key in got
                    else [f"{where}.{key}"]
                )
            ]
        if isinstance(given, list):
            if not isinstance(got, list) or len(got) != len(given):
                return [where]
            return [lost for n, value in enumerate(given) for lost in missing(value, got[n], f"{where}[{n}]")]
        return [] if given == got else [where]

    assert missing(DASHBOARD, written) == []


def test_a_panel_asks_in_words_that_grafana_knows():
    """Its types leave what stands in a target to the kind of data source."""
    for panel in PANELS:
        targets = panel["targets"]
        assert all(set(t) == {"datasource", "expr", "legendFormat", "refId"} for t in targets), panel["title"]
        assert len({t["refId"] for t in targets}) == len(targets)
        for label in re.findall(r"{{(\w+)}}", " ".join(t["legendFormat"] for t in targets)):
            assert any(label in groupings(t["expr"]) for t in targets), panel["title"]


def test_panels_have_ids_and_places_of_their_own():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_alerts_say_how_bad_it_is_and_what_is_the_matter():
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"Flux[A-Z]\w+", rule["alert"])
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in groupings(rule["expr"]), rule["alert"]


def test_the_document_says_of_each_alert_what_to_do():
    text = (ROOT / "docs/observing.md").read_text()
    rows = re.findall(r"^\| (`Flux.*?`) \|", text, re.MULTILINE)
    told = re.findall(r"`(Flux\w+)`", " ".join(rows))
    assert sorted(told) == sorted(rule["alert"] for rule in RULES)


def test_prometheus_reads_the_rules_that_are_there():
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "flux"  # as the alerts name it
    assert "metrics_path" not in job  # /metrics is Prometheus' own default
