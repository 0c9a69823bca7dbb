"""The cheap counter: `router/telemetry/fast_counter.py`."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest

from router.telemetry.fast_counter import FastCounter


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


def test_the_same_labels_are_the_same_child() -> None:
    """Whoever asks for a label's child feeds the one that is told; a number is the label that its text is."""
    fast = FastCounter("seen", "How many.", CollectorRegistry(), "status")
    assert fast.labels(401) is fast.labels("401")
    assert fast.labels(401) is not fast.labels(403)
