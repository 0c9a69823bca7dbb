"""What Prometheus would know of some processes: their scrapes, and what our alerts say of them."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from support.promql import Sample, evaluate, samples_of

import config

__all__ = ["ALERTS", "Prometheus", "alerts", "expressions_of_dashboard"]

_CONFIG = Path(config.__file__).parent
ALERTS = _CONFIG / "prometheus" / "alerts.yml"
DASHBOARD = _CONFIG / "grafana" / "event-router.json"


@cache
def alerts() -> Mapping[str, Mapping[str, Any]]:
    """Return the alerts of the configuration by their names."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


class Prometheus:
    """Scrapes processes, named by job and port, and evaluates alerts over the first and the last scrape."""

    def __init__(self, *targets: tuple[str, int]) -> None:
        self.targets = list(targets)
        self.first: list[Sample] = []
        self.last: list[Sample] = []

    async def begin(self) -> None:
        """Scrape for the first time: nothing before counts."""
        await self.scrape()
        self.first = self.last

    async def scrape(self) -> None:
        """Ask all processes; of one that does not answer it is known that it is not up."""
        timeout = aiohttp.ClientTimeout(total=10)
        self.last = []
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for job, port in self.targets:
                labels = {"job": job, "instance": f"127.0.0.1:{port}"}
                try:
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                        self.last += samples_of(await response.text(), **labels)
                except (aiohttp.ClientError, OSError, TimeoutError):
                    up = 0.0
                else:
                    up = 1.0
                self.last.append(Sample({**labels, "__name__": "up"}, up))

    def value(self, expression: str) -> float | None:
        """Return the one value of an expression; None where it has none."""
        found = evaluate(expression, self.first, self.last)
        assert len(found) <= 1, found
        return found[0].value if found else None

    def firing(self) -> set[str]:
        """Return the alerts whose condition holds."""
        return {name for name, rule in alerts().items() if evaluate(rule["expr"], self.first, self.last)}

    async def fires(self, *names: str) -> bool:
        """Scrape again; return whether all of these alerts would fire now."""
        await self.scrape()
        return self.firing() >= set(names)


def expressions_of_dashboard(dashboard: Any) -> Iterator[str]:
    """Yield every expression in a dashboard, wherever it is."""
    if isinstance(dashboard, dict):
        if isinstance(expression := dashboard.get("expr"), str):
            yield expression
        for value in dashboard.values():
            yield from expressions_of_dashboard(value)
    elif isinstance(dashboard, list):
        for value in dashboard:
            yield from expressions_of_dashboard(value)
