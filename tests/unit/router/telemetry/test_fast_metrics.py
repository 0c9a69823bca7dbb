"""The cheap counter and histogram: `router/telemetry/fast_metrics.py`."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from router.telemetry.fast_metrics import FastCounter, FastHistogram

BOUNDS = (0.001, 0.01, 1.0, 5.0)


@given(st.lists(st.tuples(st.sampled_from(["a", 'b"\n\\']), st.integers(0, 2**40))))
def test_it_says_what_the_counter_of_prometheus_would(counts: list[tuple[str, int]]) -> None:
    """Values of any label, those never counted too; only `_created` is not told."""
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("seen", "How many.", ["kind", "of"], registry=theirs)
    fast = FastCounter("seen", "How many.", ours, "kind", "of")
    for kind, number in counts:
        counter.labels(kind, "x").inc(number)
        fast.labels(kind, "x").inc(number)
    counter.labels("c", "x")
    fast.labels("c", "x")
    expected = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == expected


def test_the_same_labels_are_the_same_counter() -> None:
    """Whoever asks for a label's child feeds the one that is told; a number is the label that its text is."""
    fast = FastCounter("seen", "How many.", CollectorRegistry(), "status")
    assert fast.labels(401) is fast.labels("401")
    assert fast.labels(401) is not fast.labels(403)


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


def test_the_same_labels_are_the_same_histogram() -> None:
    """Whoever asks for a label's child feeds the one that is told."""
    fast = FastHistogram("took_seconds", "How long.", BOUNDS, CollectorRegistry(), "subscription")
    assert fast.labels("a") is fast.labels("a")
    assert fast.labels("a") is not fast.labels("b")
