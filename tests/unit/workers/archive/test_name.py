"""The name of an object: it says what is in it, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.store.reading import Span
from workers.archive.name import Bounds, ObjectName

IDS = st.builds("{}-{}".format, st.integers(0, 253_402_300_799_999), st.integers(0, 2**63))
NAME = "publisher=visma-net-financial/type=customer_changed/day=2025-11-30/1764460800000-0_1764547199000-3.jsonl.gz"


def test_the_name_says_what_is_in_it() -> None:
    """Publisher, type and day are folders that query engines know as columns."""
    name = ObjectName("visma-net-financial/customer_changed", "1764460800000-0", "1764547199000-3", "jsonl.gz")
    assert str(name) == NAME
    assert ObjectName.parse(NAME) == name


@given(st.lists(IDS, min_size=2, max_size=2), st.sampled_from(["jsonl.gz", "parquet"]))
def test_each_name_is_read_again(ids: list[str], suffix: str) -> None:
    """What is written is read, wherever the entries are in time."""
    first, last = sorted(ids, key=lambda text: tuple(map(int, text.split("-"))))
    name = ObjectName("a-b/unlisted", first, last, suffix)
    assert ObjectName.parse(str(name)) == name
    assert name.holds(first)
    assert name.holds(last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "README.md",
        NAME + ".part",
        NAME.replace("2025-11-30", "2025-11-29"),
        NAME.replace("jsonl.gz", "json"),
        NAME.replace("1764547199000-3", "1764460799999-3"),
        NAME.replace("publisher=", "publisher=../"),
        "/" + NAME,
    ],
)
def test_what_no_archiver_writes_is_no_name(text: str) -> None:
    """Another file, a wrong day, a range that ends before it begins: none is taken for an object."""
    assert ObjectName.parse(text) is None


@pytest.mark.parametrize(
    ("span", "meets"),
    [
        (Span(), True),
        (Span("1764547199000", "+"), True),
        (Span("1764547199001", "+"), False),
        (Span("(1764547199000-2", "+"), True),
        (Span("-", "1764460800000"), True),
        (Span("-", "1764460799999"), False),
        (Span("-", "1764460800000-0"), True),
        (Span("1764460800001-0", "1764460800002-0"), True),
    ],
)
def test_the_objects_of_a_time(span: Span, meets: bool) -> None:  # noqa: FBT001 - a column of the table
    """An object is read where some of its entries can be in the wanted span, and left alone where none can."""
    name = ObjectName.parse(NAME)
    assert name is not None
    assert name.meets(Bounds.of(span)) is meets
