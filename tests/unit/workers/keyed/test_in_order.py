"""Entries of several streams go on in the order in which the store took them, whatever the reads bring when."""

from random import Random

from workers.keyed.in_order import InOrder

Read = dict[str, list[tuple[bytes, dict[bytes, bytes]]]]


def entries(*ids: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return entries of these milliseconds."""
    return [(b"%d-0" % millis, {}) for millis in ids]


def test_a_stream_that_is_held_back_holds_back_the_others() -> None:
    """What is not read since it is held back may have got older entries than another stream brings meanwhile."""
    in_order, ids = InOrder(), []
    for asked, read in [
        ({"x", "y"}, {"x": entries(1, 2), "y": entries(4)}),
        ({"x"}, {"x": entries(6)}),
        ({"y"}, {"y": entries(5)}),
        ({"x", "y"}, {}),
    ]:
        assert not asked & in_order.waiting
        ids += [entry.entry_id for entry in in_order.put(read, asked, 2)]
    assert ids == [b"1-0", b"2-0", b"4-0", b"5-0", b"6-0"]


def test_any_bursts_go_on_in_order() -> None:
    """However streams grow between the reads, everything goes on, in order, and no read is in vain for ever."""
    for seed in range(300):
        random = Random(seed)
        streams: dict[str, list[int]] = {"x": [], "y": [], "z": []}
        in_order, taken, clock = InOrder(), [], 0
        for turn in range(300):
            for _ in range(random.randrange(9) if turn < 30 else 0):
                clock += 1
                streams[random.choice("xxxyz")].append(clock)
            asked = streams.keys() - in_order.waiting
            read = {name: entries(*streams[name][:3]) for name in asked if streams[name]}
            for name in asked:
                del streams[name][:3]
            taken += [int(entry.entry_id[:-2]) for entry in in_order.put(read, asked, 3)]
        assert taken == [*range(1, clock + 1)], seed
