"""The evaluator that the tests of the alerts rely on: `tests/support/promql.py`."""

import pytest
from support.promql import Sample, evaluate, samples_of, selectors

FIRST = samples_of('a_total{k="x"} 1\na_total{k="y"} 5\n', job="j", instance="1") + samples_of(
    'a_total{k="x"} 10\n', job="j", instance="2"
)
LAST = samples_of('a_total{k="x"} 4\na_total{k="y"} 5\na_total{k="new"} 9\ng{k="x"} 2\n', job="j", instance="1")
LAST += samples_of('a_total{k="x"} 16\ng{k="x"} 7\ng{k="y"} 0\n', job="j", instance="2")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('sum(a_total{k="x"})', [({}, 20)]),
        ("sum by (k) (increase(a_total[5m]))", [({"k": "x"}, 9), ({"k": "y"}, 0)]),
        ('sum(rate(a_total{k!="y"}[1m]))', [({}, 0.15)]),
        ('max by (k) (g{k=~"x|y"}) > 0', [({"k": "x"}, 7)]),
        ('sum(g{k!~"x.*"}) == 0', [({}, 0)]),
        ("max by (k) (g) and on (k) sum by (k) (increase(a_total[5m])) > 0", [({"k": "x"}, 7)]),
        ("max by (k) (g) unless on (k) sum by (k) (increase(a_total[5m])) > 0", [({"k": "y"}, 0)]),
        ("sum by (k) (increase(a_total[5m])) > sum by (k) (g) - 1", [({"k": "x"}, 9), ({"k": "y"}, 0)]),
        ('sum(g) > 0.5 * sum(a_total{k="x"})', []),
        ("absent(missing)", [({}, 1)]),
        ("absent(g)", []),
        ("absent(g == 99)", [({}, 1)]),
        ('max(g) / min(a_total{k="x"})', [({}, 1.75)]),
    ],
)
def test_it_says_what_prometheus_says(expression: str, expected: list[tuple[dict[str, str], float]]) -> None:
    """Selectors, aggregations, changes and comparisons, worked out by hand."""
    found = [(dict(sample.labels), sample.value) for sample in evaluate(expression, FIRST, LAST)]
    assert found == [(labels, pytest.approx(value)) for labels, value in expected]


@pytest.mark.parametrize("expression", ["topk(3, a_total)", "sum without (k) (g)", "histogram_quantile(0.9, g)"])
def test_what_it_does_not_know_fails(expression: str) -> None:
    """An alert that it cannot judge is an error, not an alert that never fires."""
    with pytest.raises((NotImplementedError, AssertionError, KeyError)):
        evaluate(expression, FIRST, LAST)


def test_names_and_labels_are_found() -> None:
    """Each metric comes with the labels of its matchers, of the groupings around it, and of what it is joined by."""
    expression = 'sum by (k) (rate(a_total{x="1"}[5m])) > 2 unless on (s) max by (s) (max by (s, t) (g)) > 0'
    assert list(selectors(expression)) == [("a_total", {"x", "k", "s"}), ("g", {"s", "t"})]


def test_samples_carry_what_the_scrape_adds() -> None:
    """Job and instance are labels like the others."""
    assert samples_of("g 1\n", job="j") == [Sample({"__name__": "g", "job": "j"}, 1.0)]
