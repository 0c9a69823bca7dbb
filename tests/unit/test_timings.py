"""The cheap histogram: `router/timings.py`."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from router.timings import Timings

BOUNDS = (0.001, 0.01, 1.0, 5.0)


@given(st.lists(st.one_of(st.floats(0, 10), st.sampled_from(BOUNDS)), max_size=30))
def test_it_says_what_the_histogram_of_prometheus_would(seconds: list[float]) -> None:
    """Buckets, count and sum of one label value, for any times, those on a bound too; only `_created` is not told."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("took_seconds", "How long.", ["subscription"], buckets=BOUNDS, registry=theirs)
    timings = Timings("took_seconds", "How long.", BOUNDS, ours, "subscription")
    for value in seconds:
        histogram.labels("a").observe(value)
        timings.labels("a").observe(value)
    histogram.labels("b")
    timings.labels("b")
    expected = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == expected


def test_the_same_labels_are_the_same_timing() -> None:
    """Whoever asks for a label's timing feeds the one that is told."""
    timings = Timings("took_seconds", "How long.", BOUNDS, CollectorRegistry(), "subscription")
    assert timings.labels("a") is timings.labels("a")
    assert timings.labels("a") is not timings.labels("b")
