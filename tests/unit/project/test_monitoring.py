"""What watches the router: alerts, their tests and their runbook, the dashboard, and the table of metrics agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.metric_tables import DOCUMENT, all_rows, written
from support.promql import parse, selectors
from support.scraping import ALERTS, alerts, expressions_of_dashboard

import config

ROOT = Path(config.__file__).parents[1]
RUNBOOK = ROOT / "docs" / "operating.md"
DASHBOARD = ROOT / "config" / "grafana" / "event-router.json"
OF_PROMETHEUS = {"job", "instance"}
OTHERS = {
    "up": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
}
"""What is asked for and is not of our making, with its labels."""


@pytest.fixture(scope="module")
def dashboard() -> Any:
    """Return the dashboard."""
    return json.loads(DASHBOARD.read_text())


def plain(expression: str) -> str:
    """Put values in place of the dashboard's variables."""
    return re.sub(r"\$(publisher|subscription)\b", "x", expression.replace("$__rate_interval", "5m"))


async def known() -> dict[str, set[str]]:
    """Return every series that is told, with its labels."""
    series = dict(OTHERS)
    for rows in (await all_rows()).values():
        for row in rows:
            if row.type == "histogram":
                series |= {f"{row.name}_{part}": set(row.labels) for part in ("count", "sum")}
                series[f"{row.name}_bucket"] = {*row.labels, "le"}
            else:
                series[row.name] = set(row.labels)
    return series


async def test_the_table_of_metrics_is_up_to_date() -> None:
    """`make docs` would change nothing: every metric is in the table, with its labels and its text."""
    assert await written(DOCUMENT.read_text()) == DOCUMENT.read_text()


async def test_units_are_in_the_names() -> None:
    """A counter ends in _total; what is timed says seconds; each help text is a sentence."""
    for rows in (await all_rows()).values():
        for row in rows:
            assert row.type != "counter" or row.name.endswith("_total"), row
            assert not row.text.startswith("Seconds") or "seconds" in row.name, row
            assert re.fullmatch(r"[A-Z0-9].*\.", row.text), row


@pytest.mark.parametrize("name", alerts())
async def test_an_alert_asks_for_what_there_is(name: str) -> None:
    """Every metric and label in its condition is one that our processes tell."""
    series = await known()
    for metric, labels in selectors(alerts()[name]["expr"]):
        assert metric in series
        assert labels <= series[metric] | OF_PROMETHEUS


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_to_do(name: str) -> None:
    """It has a severity, a summary, and a section of the runbook with its meaning, where to look and what to do."""
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/operating.md#{name.lower()}"
    _, _, section = RUNBOOK.read_text().partition(f"\n## {name}\n")
    section = section.partition("\n## ")[0]
    assert all(part in section for part in ("**Means:**", "**Look at:**", "**Do:**"))


def test_the_runbook_knows_no_other_alerts() -> None:
    """A section of the runbook, and a link in it, is about an alert that there is."""
    text = RUNBOOK.read_text()
    assert set(re.findall(r"^## (EventRouter\w+)", text, re.MULTILINE)) == set(alerts())
    assert set(re.findall(r"\(#(\w+)\)", text)) <= {name.lower() for name in alerts()}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_tested(name: str) -> None:
    """It fires in a test of the real processes, and in one of Prometheus' own: not before its time, and then."""
    assert f'"{name}"' in (ROOT / "tests" / "integration" / "test_alerts.py").read_text()
    tests = yaml.safe_load(ALERTS.with_name("alerts_test.yml").read_text())["tests"]
    [test] = [test for test in tests if test["name"] == name]
    before, then = test["alert_rule_test"]
    assert before["alertname"] == then["alertname"] == name
    assert before["exp_alerts"] == []
    assert then["exp_alerts"]


async def test_the_dashboard_shows_what_there_is(dashboard: Any) -> None:
    """Every metric and label in it is one that our processes tell, its variables' too."""
    series = await known()
    expressions = [plain(expression) for expression in expressions_of_dashboard(dashboard)]
    assert len(expressions) > 30
    for expression in expressions:
        for metric, labels in selectors(expression):
            assert metric in series, expression
            assert labels <= series[metric] | OF_PROMETHEUS, expression
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            assert label in series[metric]


async def test_what_is_told_is_shown(dashboard: Any) -> None:
    """A metric that no panel and no alert looks at is one that nobody misses; these few are for a closer look."""
    asked = [plain(expression) for expression in expressions_of_dashboard(dashboard)]
    asked += [rule["expr"] for rule in alerts().values()]
    used = {metric for expression in asked for metric, _ in selectors(expression)}
    told = {row.name for rows in (await all_rows()).values() for row in rows}
    rare = {"deliveries_total", "dead_letters_discarded_total", "quarantine_discarded_total"}
    rare |= {"connections_shed_total", "ops_connections_shed_total"}
    assert {name for name in told if not any(metric.startswith(name) for metric in used)} == {
        f"event_router_{name}" for name in rare
    }


def test_the_panels_of_the_dashboard_fit(dashboard: Any) -> None:
    """No two panels lie on each other, none is wider than the page, and each has a title and an identity of its own."""
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        mine = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not mine & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        assert panel["title"]
        cells |= mine
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_grafana_and_prometheus_find_their_files() -> None:
    """What is provisioned is YAML, the rules are where the configuration says, and the jobs are those of the alerts."""
    for file in (ROOT / "config" / "grafana" / "provisioning").rglob("*.yml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1
    prometheus = yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())
    assert prometheus["rule_files"] == [ALERTS.name]
    jobs = {job["job_name"] for job in prometheus["scrape_configs"]}
    assert jobs == {"event-router-ingress", "event-router-worker", "event-router-forward"}
    for rule in alerts().values():
        assert parse(rule["expr"])


def test_prometheus_asks_what_compose_runs() -> None:
    """The names that are looked up are services, and the token is one that Prometheus is given."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for job in yaml.safe_load(ALERTS.with_name("prometheus.yml").read_text())["scrape_configs"]:
        [found] = job["dns_sd_configs"]
        assert set(found["names"]) <= compose["services"].keys()
        assert Path(job["authorization"]["credentials_file"]).name in compose["services"]["prometheus"]["secrets"]
