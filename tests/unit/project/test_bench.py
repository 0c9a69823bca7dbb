"""The statistics and the report of the benchmarks."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from router.ingress.signature import sign

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    """Yield the modules under test, found by the folder they are in."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {
            name: importlib.import_module(f"bench.{name}")
            for name in ("stats", "report", "plan", "targets", "bodies", "ledgers", "ours", "capacity", "plots")
        }
    finally:
        sys.path.remove(str(BENCHMARKS))


def _part(reference: str = "limit") -> Any:
    return SimpleNamespace(TITLE="Ingress", NOTES="How.", REFERENCE=reference)


def _document(bench: dict[str, ModuleType], rates: dict[str, list[float]], **more: Any) -> dict[str, Any]:
    plan = bench["plan"].Plan(3, "quick", Path())
    samples = bench["plan"].Samples()
    for name, values in rates.items():
        for value in values:
            samples.add("closed loop, 64 connections", name, {"requests/s": value, "p99 ms": value / 1000})
    samples.problems.extend(more.pop("problems", []))
    return bench["report"].document("ingress", _part(**more), plan, {"python": "3.11"}, samples, 12.3)


def test_a_summary_is_the_median_with_the_lowest_and_the_highest(bench: dict[str, ModuleType]) -> None:
    """One round that went wrong moves the spread and not the figure."""
    found = bench["stats"].summary([100, 102, 5, 101, 99])
    assert (found.median, found.low, found.high, found.rounds) == (100, 5, 102, 5)
    assert found.spread == pytest.approx(0.97)


def test_no_rounds_have_no_summary(bench: dict[str, ModuleType]) -> None:
    """A figure that was not measured is an error and not a zero."""
    with pytest.raises(ValueError, match="no rounds"):
        bench["stats"].summary([])
    with pytest.raises(ValueError, match="no values"):
        bench["stats"].percentile([], 0.5)


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(bench: dict[str, ModuleType], part: float, expected: int) -> None:
    """It is the least that so many do not exceed, never one in between."""
    assert bench["stats"].percentile(range(1, 101), part) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (0.5, "0.500"),
        (9.876, "9.88"),
        (123.4, "123"),
        (45678, "45,700"),
        (1e6, "1,000,000"),
    ],
)
def test_a_number_has_three_digits_that_count(bench: dict[str, ModuleType], value: float, text: str) -> None:
    """More would say that the figures are more exact than they are."""
    assert bench["report"].number(value) == text


def test_a_table_has_medians_spreads_and_ratios_to_the_reference(bench: dict[str, ModuleType]) -> None:
    """Ratios are what holds on another machine."""
    found = _document(bench, {"ours": [85, 80, 90], "limit": [100, 100, 100]})
    text = bench["report"].markdown([json.loads(json.dumps(found))])
    assert "| ours | 85.0 | 80.0 – 90.0 | 0.850 × | 0.0850 |" in text  # noqa: RUF001
    assert "| limit | 100 | 100 – 100 | 1.00 × | 0.100 |" in text  # noqa: RUF001


def test_processor_time_stands_with_its_ratio(bench: dict[str, ModuleType]) -> None:
    """Throughput also says who got the cores of a busy machine, the cost of a request does not: it has a ratio too."""
    found = _document(bench, {"ours": [85, 80, 90], "limit": [100, 100, 100], "failed": [10]})
    for figure, cost in zip(found["figures"], ([60, 66, 54], [50, 50, 50]), strict=False):
        figure["measures"]["CPU µs/request"] = cost
    text = bench["report"].markdown([found])
    assert "| p99 ms | CPU µs/request | CPU of limit |" in text
    assert "| 0.0850 | 60.0 | 1.20 × |" in text  # noqa: RUF001
    assert "| 0.100 | 50.0 | 1.00 × |" in text  # noqa: RUF001
    assert "| 0.0100 |  |  |" in text


def test_each_published_table_with_processor_time_has_its_ratio() -> None:
    """The page has the form that a reader's own run prints."""
    page = (BENCHMARKS.parent / "docs" / "performance.md").read_text()
    heads = [line.strip("| ").split(" | ") for line in page.splitlines() if "| CPU µs/" in line and "| lowest" in line]
    assert heads
    for head in heads:
        place = next(index for index, title in enumerate(head) if title.startswith("CPU µs/"))
        assert head[place + 1] == f"CPU {head[3]}", head[0]
    assert "| ingress, processor time over bare aiohttp |" in page


def test_without_its_reference_a_case_is_compared_with_its_first_row(bench: dict[str, ModuleType]) -> None:
    """A run of a few subjects still has ratios."""
    text = bench["report"].markdown([_document(bench, {"one": [10], "two": [20]}, reference="")])
    assert "| two | 20.0 | 20.0 – 20.0 | 2.00 × |" in text  # noqa: RUF001


def test_what_went_wrong_stands_in_the_report(bench: dict[str, ModuleType]) -> None:
    """A peer that could not be measured is named, not left out."""
    text = bench["report"].markdown([_document(bench, {"ours": [1]}, problems=["BullMQ not measured: no npm"])])
    assert "BullMQ not measured: no npm" in text


def test_a_figure_that_misses_its_aim_is_said_to(bench: dict[str, ModuleType]) -> None:
    """An aim is judged by the medians, and only where both sides were measured."""
    found = _document(bench, {"ours": [80, 86, 70], "bare aiohttp": [100, 101, 99]})
    verdicts = list(bench["targets"].verdicts([found]))
    assert [(verdict.text, verdict.aim, verdict.value, verdict.met) for verdict in verdicts] == [
        ("ingress, over bare aiohttp", "≥ 0.85", 0.8, False)
    ]
    assert "| 0.800 | **no** |" in bench["report"].markdown([found])


def test_each_round_begins_with_another_subject(bench: dict[str, ModuleType]) -> None:
    """What a machine does to the first of a round is spread over all."""
    plan = bench["plan"].Plan(3, "normal", Path())
    assert list(plan.interleaved(["a", "b"])) == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert plan.pick(1, 2, 3) == 2


def test_a_notification_is_as_large_as_asked_and_has_its_id(bench: dict[str, ModuleType]) -> None:
    """Bodies are JSON of the right size, each with an id of its own."""
    bodies = bench["bodies"]
    ids = {bodies.event_id(number, space) for number in range(3) for space in range(3)}
    body = bodies.notification("some-id", size=5_000)
    assert len(ids) == 9
    assert len(body) == 5_000
    assert json.loads(body)["NotificationId"] == "some-id"


def test_a_request_is_signed_with_the_secret(bench: dict[str, ModuleType]) -> None:
    """What is sent would be accepted by an ingress with that secret."""
    bodies = bench["bodies"]
    body = bodies.notification("some-id")
    head, _, sent = bodies.request(body).partition(b"\r\n\r\n")
    scheme: Any = SimpleNamespace(scheme="hmac-sha256", header="x")
    assert sent == body
    assert f"x-vwd-signature-v1: {sign(scheme, bodies.SECRET.encode(), body)}".encode() in head


def test_a_ledger_without_an_id_is_refused(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    """A rate is not taken from a worker that did not handle all it was given."""
    file = tmp_path / "ledger.json"
    noted = {"first": 1_000_000_000, "last": 2_000_000_000, "calls": 2, "cpu": 0.5, "ids": ["a", "b"]}
    file.write_text(json.dumps(noted))
    assert bench["ledgers"].read_ledger(file, ["a", "b"]).rate == 1
    with pytest.raises(bench["plan"].WorkNotDone, match="1 ids were not handled, or never sent, such as c"):
        bench["ledgers"].read_ledger(file, ["a", "b", "c"])


def test_items_are_counted_over_publishers(bench: dict[str, ModuleType]) -> None:
    """The counters of an ingress are read as Prometheus writes them."""
    text = (
        "# HELP event_router_items_total ...\n"
        'event_router_items_total{outcome="accepted",publisher="a"} 3.0\n'
        'event_router_items_total{outcome="accepted",publisher="b"} 4.0\n'
        'event_router_items_total{outcome="duplicate",publisher="a"} 0.0\n'
    )
    assert bench["ours"].items_by_outcome(text) == {"accepted": 7, "duplicate": 0}


def test_figures_go_into_their_place_in_a_page(bench: dict[str, ModuleType]) -> None:
    """A page's own words stay when its figures are made again."""
    report = bench["report"]
    page = "Before.\n\n<!-- figures -->\n\nold\n\n<!-- end of figures -->\n\nAfter.\n"
    once = report.insert("new", page)
    assert once == page.replace("old", "new")
    assert report.insert("new", once) == once
    with pytest.raises(ValueError, match="no <!-- figures -->"):
        report.insert("new", "a page without a place")


def test_the_capacity_model_adds_up_what_an_event_costs(bench: dict[str, ModuleType]) -> None:
    """Cores grow with the rate, and what is behind Redis with the subscriptions as well."""
    capacity = bench["capacity"]
    cost = capacity.Costs(ingress=55, append=10, worker=25, deliver=5, memory=1_000)
    assert cost.rate_of(2) == pytest.approx(21_052.6, abs=1)
    assert capacity.needs(cost, 10_000) == (10_000, 1, 1, 1, 36)
    assert capacity.needs(cost, 100_000, subscriptions=3) == (100_000, 10, 5, 13, 360)


def test_without_its_parts_there_is_no_capacity_model(bench: dict[str, ModuleType]) -> None:
    """The model stands on measurements or not at all."""
    with pytest.raises(KeyError):
        bench["capacity"].costs([_document(bench, {"ours": [1]})])


def test_a_chart_is_well_formed_and_shows_every_subject(bench: dict[str, ModuleType]) -> None:
    """Names are escaped, the longest bar is that of the largest median, and what was not measured has no chart."""
    found = _document(bench, {"ours": [50, 60, 40], "A & B <C>": [100, 100, 100]})
    drawn = ET.fromstring(bench["plots"].chart(found, "closed loop, 64 connections"))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in drawn.iter(f"{space}rect")]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.01)
    assert {"ours", "A & B <C>"} <= {text.text for text in drawn.iter(f"{space}text")}
    with pytest.raises(KeyError):
        bench["plots"].chart(found, "another case")
