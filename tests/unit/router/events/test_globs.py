"""Which streams a text means."""

import pytest

from router.events.catalogue import Catalogue, UnknownStream
from router.events.globs import fits, is_glob, is_resource, named, select, short

FINANCIAL = "visma-net-financial"
CUSTOMERS = f"{FINANCIAL}/customer_changed"


@pytest.mark.parametrize(
    ("glob", "wanted"),
    [
        (CUSTOMERS, True),
        ("customer_changed", True),
        ("CUSTOMER_*", True),
        ("visma-net-*/customer_?hanged", True),
        ("*", True),
        ("customer", False),
        ("visma-net-financial", False),
    ],
)
def test_fits(glob: str, wanted: bool) -> None:  # noqa: FBT001
    """A glob without a slash is one over types; its case does not matter."""
    assert fits(CUSTOMERS, glob) is wanted
    assert is_glob(glob) is ("*" in glob)


@pytest.mark.parametrize(
    ("text", "streams"),
    [
        ("customer_changed", (CUSTOMERS,)),
        ("CustomerChanged", (CUSTOMERS,)),
        ("customerinvoice_changed", (f"{FINANCIAL}/ar_invoice_changed",)),
        ("Visma-Net-Financial/Customer.Changed", (CUSTOMERS,)),
        ("visma-net-journal-transaction/customer_changed", ()),
        ("unlisted", ()),
        ("no-event", ()),
        ("", ()),
    ],
)
def test_named(catalogue: Catalogue, text: str, streams: tuple[str, ...]) -> None:
    """An event goes by its type and its aliases, in any spelling that ingress would take it in."""
    assert named(catalogue, text) == streams


def test_select(catalogue: Catalogue) -> None:
    """A glob comes first, then a name; what is neither is a slip of the pen."""
    assert select(catalogue, "*") == catalogue.streams()
    assert select(catalogue, "unlisted") == tuple(f"{slug}/unlisted" for slug in catalogue.publishers)
    assert select(catalogue, "CustomerChanged") == (CUSTOMERS,)
    with pytest.raises(UnknownStream, match=f"did you mean {CUSTOMERS}"):
        select(catalogue, "custmer_changed")


def test_short(catalogue: Catalogue) -> None:
    """The publisher is left out where the type alone says which stream it is."""
    assert short(catalogue, CUSTOMERS) == "customer_changed"
    assert short(catalogue, f"{FINANCIAL}/unlisted") == f"{FINANCIAL}/unlisted"
    assert short(catalogue, "gone/never_listed") == "gone/never_listed"
    publishers = catalogue.publishers.values()
    twice = Catalogue.of(
        [*publishers, *(p.model_copy(update={"slug": "other"}) for p in publishers if p.slug == FINANCIAL)]
    )
    assert short(twice, CUSTOMERS) == CUSTOMERS


@pytest.mark.parametrize(
    ("name", "wanted", "fits"),
    [
        ("inventory/A[1]", "inventory/A[1]", True),
        ("inventory/A1", "inventory/A[1]", True),
        ("inventory/A[1]", "inventory/*", True),
        ("inventory/A?", "inventory/A?", True),
        ("inventory/a", "inventory/A", False),
        (None, "*", True),
        (None, "inventory/*", False),
    ],
)
def test_a_record_is_found_by_its_name_and_by_a_glob(name: str | None, wanted: str, *, fits: bool) -> None:
    """The name of a record is found as it is, though it holds signs of globs."""
    assert is_resource(name, wanted) is fits
