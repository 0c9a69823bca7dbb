"""Imports go one way, so that each part can be read, tested and used without those above it."""

import re

import pytest
from support.import_graph import (
    DOCUMENT,
    Graph,
    circle,
    grouped,
    modules,
    modules_graph,
    node_of,
    packages,
    room_of,
    written,
)

LAYERS = (
    {"config"},
    {"router.events", "router.tasks", "router.telemetry"},
    {"router.http"},
    {"router.process"},
    {"router.store.scripts"},
    {"router.store"},
    {"router.store.watched"},
    {"router.embedded"},
    {"router.store.health"},
    {"router.intake"},
    {"router.ingress"},
    {"router.cloudevents"},
    {"router.up"},
    {
        "workers.coalesce",
        "workers.failure",
        "workers.incidents",
        "workers.made",
        "workers.metrics",
        "workers.outcomes",
        "workers.outgoing",
        "workers.where",
    },
    {"workers.deferrals", "workers.drift"},
    {"workers.delivery", "workers.record", "workers.retry"},
    {"workers.erp", "workers.erp.fake"},
    {"workers.exactly_once", "workers.subscription"},
    {"workers"},
    {"workers.echoes", "workers.feedback", "workers.handlers", "workers.limits", "workers.modules", "workers.state"},
    {"workers.archive", "workers.breakers", "workers.consuming", "workers.notify", "workers.reconcile"},
    {"workers.retention"},
    {"workers.keyed"},
    {"workers.crew"},
    {
        "workers.operations.answered",
        "workers.operations.audit",
        "workers.operations.figures",
        "workers.operations.markers",
        "workers.operations.shortened",
    },
    {"workers.operations.criteria", "workers.operations.reveal"},
    {"workers.operations.events", "workers.silence"},
    {
        "workers.operations.change",
        "workers.operations.forwards",
        "workers.operations.muting",
        "workers.operations.pauses",
        "workers.operations.store_metrics",
        "workers.operations.sweeping",
    },
    {"workers.operations.dead_letters", "workers.operations.handover", "workers.operations.quarantined"},
    {"workers.operations.archive"},
    {"workers.operations.keys", "workers.operations.quarantine", "workers.operations.removal"},
    {"workers.operations.erasing", "workers.operations.life"},
    {"workers.operations.operations"},
    {"workers.operations"},
    {"workers.example", "workers.log_events", "workers.service", "workers.testing"},
    {"workers.forward"},
    {"router.cli", "router.console"},
)
"""What may be imported by all that stand below it here: one may not import its neighbour in a line either."""

MOST_MODULES = 20

REDIS_PY = re.compile(r"^\s*(?:from|import) redis\b.*", re.MULTILINE)


def layer_of(node: str) -> int:
    """Return the place of a node in the order of the layers; command line and console share one."""
    top = next((name for name in ("router.cli", "router.console") if f"{node}.".startswith(f"{name}.")), node)
    return next(place for place, names in enumerate(LAYERS) if top in names)


def test_every_package_has_its_layer() -> None:
    """What is new is given its place in the order, and what is gone leaves none behind."""
    nodes = {name for name in grouped(node_of) if not name.startswith(("router.cli.", "router.console."))}
    assert nodes - {"router"} == set().union(*LAYERS)


@pytest.mark.parametrize("node", sorted({node_of(name) for name in modules()} - {"router"}))
def test_imports_go_one_way(node: str) -> None:
    """Nothing imports what is above it or beside it: from config to the command line, which nothing else imports."""
    own = layer_of(node)
    for name in grouped(node_of)[node]:
        within_top = layer_of(name) == own == len(LAYERS) - 1
        assert layer_of(name) < own or within_top, f"{node} imports {name}"


def test_no_modules_import_each_other() -> None:
    """There is no circle of modules, not even of imports in functions or for types alone."""
    assert not circle(modules_graph())


def test_no_packages_import_each_other() -> None:
    """There is no circle of packages; modules directly in `workers`, `router.cli`, `router.console` count alone."""
    assert not circle(grouped(node_of))


@pytest.mark.parametrize("name", sorted(packages()))
def test_a_package_is_small_enough_to_be_seen_at_once(name: str) -> None:
    """No package has more than twenty modules."""
    assert len(packages()[name]) <= MOST_MODULES


def test_the_store_alone_knows_redis_py() -> None:
    """What redis-py is like is known in `router.store` and nowhere else: all others see our store and its errors."""
    strangers = {
        name: found
        for name, path in modules().items()
        if not name.startswith("router.store.") and (found := REDIS_PY.findall(path.read_text(encoding="utf-8")))
    }
    assert not strangers
    assert REDIS_PY.findall("    from redis.exceptions import RedisError")


def test_a_circle_is_found() -> None:
    """A circle is found from wherever the search begins, and where there is none, none is."""
    graph: Graph = {"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}
    assert circle(graph) == ["b", "d"]
    assert not circle({**graph, "d": ["c"]})
    assert circle({"a": ["a"]}) == ["a"]


def test_the_modules_are_those_of_the_product() -> None:
    """The checks above look at all there is, and see imports of both forms."""
    assert len(modules()) > 200
    assert "router.store.client" in modules_graph()["router.intake.writer"]
    assert "config.errors" in modules_graph()["router.store.client"]


def test_the_picture_is_that_of_the_code() -> None:
    """The picture of packages, and what each is for, are not stale: `make docs` draws them again."""
    assert not circle(grouped(room_of))
    assert DOCUMENT.read_text(encoding="utf-8") == written(DOCUMENT.read_text(encoding="utf-8")), "run `make docs`"
