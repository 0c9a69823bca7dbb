"""The tables of docs/metrics.md, made from the metrics themselves: `make docs` writes them anew."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from support.stores import fake_store

import config
from config.settings import OpsSettings, Settings
from router.events.catalogue import Catalogue
from router.ingress.app import Ingress
from router.ingress.metrics import IngressMetrics
from router.ingress.reload import IngressReload
from router.intake.group_commit import Appender
from router.intake.spool import Spool
from router.intake.writer import Batch
from router.process.ops import OpsServer
from router.store.health.guard import StoreGuard
from router.telemetry.identity import new_registry
from workers.archive.metrics import ArchiveMetrics
from workers.drift.metrics import DriftMetrics
from workers.erp.metrics import ErpMetrics
from workers.feedback import FeedbackMetrics
from workers.forward.metrics import ForwardMetrics
from workers.metrics import WorkerMetrics
from workers.notify.metrics import NotifyMetrics
from workers.operations.store_metrics import StoreMetrics
from workers.reconcile.metrics import ReconcileMetrics

__all__ = ["DOCUMENT", "Row", "all_rows", "written"]

DOCUMENT = Path(config.__file__).parents[1] / "docs" / "metrics.md"
_TITLES = {
    "process": "Every process",
    "ingress": "Ingress",
    "worker": "Workers",
    "store": "The store, as workers and the console see it",
}


class Row(NamedTuple):
    """A metric as it is documented."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str

    def markdown(self) -> str:
        """Return its line of a table."""
        labels = ", ".join(self.labels) or "none"
        return f"| `{self.name}` | {self.type} | {labels} | {self.text} |"


def rows_of(registry: CollectorRegistry) -> Iterator[Row]:
    """Yield the metrics of the router in a registry, whether anything was counted yet or not."""
    for collector in list(registry._collector_to_names):
        for family in collector.collect():
            if family.name.startswith("event_router_"):
                labels = getattr(collector, "_labelnames", ()) or getattr(family, "_labelnames", ())
                if family.type == "info":
                    labels = tuple(family.samples[0].labels)
                name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
                yield Row(name, family.type, tuple(labels), family.documentation)


async def all_rows() -> dict[str, list[Row]]:
    """Return the metrics by who tells them."""
    settings, catalogue = Settings(), Catalogue.load()
    ingress, worker, figures, common = (CollectorRegistry() for _ in range(4))
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(fake_store())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        metrics = IngressMetrics(ingress)
        spool = Spool.open(Path(folder), max_bytes=1)
        stack.push_async_callback(spool.close)
        metrics.watch(spool)
        metrics.watch_batches(Batch(store, window=1))
        metrics.watch_connections([])
        IngressReload(
            Ingress(settings, catalogue, Appender(Batch(store, window=1)), metrics), settings, catalogue, ingress
        )
        WorkerMetrics(worker)
        ErpMetrics(worker)
        FeedbackMetrics(worker)
        ReconcileMetrics(worker)
        NotifyMetrics(worker)
        DriftMetrics(worker)
        ArchiveMetrics(worker)
        ForwardMetrics(worker)
        StoreMetrics(store, catalogue, 1.0, figures)
        guard = StoreGuard(store, settings, asyncio.Event())
        common.register(guard)
        OpsServer(OpsSettings(port=0), dict, common, role="worker", name="host-1")  # type: ignore[arg-type]
        found = {"ingress": ingress, "worker": worker, "store": figures}
        process = [*rows_of(new_registry("ingress")), *rows_of(common)]
        return {"process": process, **{name: list(rows_of(registry)) for name, registry in found.items()}}


async def written(document: str) -> str:
    """Return a document with its tables made anew, between the lines that begin and end them."""
    for name, rows in (await all_rows()).items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->\n"
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        lines = [f"## {_TITLES[name]}", "", "| metric | type | labels | what it is |", "|---|---|---|---|"]
        table = "\n".join([*lines, *(row.markdown() for row in rows)])
        document = f"{before}{begin}{table}\n{end}{after}"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(asyncio.run(written(DOCUMENT.read_text())))
