"""The cheap histogram: `router/telemetry/fast_histogram.py`."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from router.telemetry.fast_histogram import FastHistogram

BOUNDS = (0.001, 0.01, 1.0, 5.0)


@given(st.lists(st.one_of(st.floats(0, 10), st.sampled_from(BOUNDS)), max_size=30))
def test_it_says_what_the_histogram_of_prometheus_would(seconds: list[float]) -> None:
    """Buckets, count and sum of one label value, for any times, those on a bound too; only `_created` is not told."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("took_seconds", "How long.", ["subscription"], buckets=BOUNDS, registry=theirs)
    fast = FastHistogram("took_seconds", "How long.", BOUNDS, ours, "subscription")
    for value in seconds:
        histogram.labels("a").observe(value)
        fast.labels("a").observe(value)
    histogram.labels("b")
    fast.labels("b")
    expected = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == expected


def test_the_same_labels_are_the_same_child() -> None:
    """Whoever asks for a label's child feeds the one that is told."""
    fast = FastHistogram("took_seconds", "How long.", BOUNDS, CollectorRegistry(), "subscription")
    assert fast.labels("a") is fast.labels("a")
    assert fast.labels("a") is not fast.labels("b")
