"""Whose data something is: by what it says of tenant and company, never by a text that happens to be in it."""

import pytest

from router.events.whose import Whose, digest_of


@pytest.mark.parametrize(
    ("whose", "tenant", "company", "expected"),
    [
        (Whose(company="51"), "t1", "51", True),
        (Whose(company="51"), "", "51", True),
        (Whose(company="51"), "51", "52", False),
        (Whose(company="51"), "t1", "151", False),
        (Whose(company="51"), None, None, False),
        (Whose(tenant="t1"), "t1", "", True),
        (Whose(tenant="t1"), "", "t1", False),
        (Whose(company="51", tenant="t1"), "t1", "51", True),
        (Whose(company="51", tenant="t1"), "t2", "51", False),
        (Whose(company="51", tenant="t1"), "", "51", False),
    ],
)
def test_what_belongs_to_it(whose: Whose, tenant: str | None, company: str | None, *, expected: bool) -> None:
    """A company is that of every tenant, unless one is named; by digest it is the same."""
    assert whose.wants(tenant, company) is expected
    assert whose.hashed.wants(tenant, company) is expected
    assert whose.wants_any([(tenant or "", company or "")]) is expected


def test_a_digest_says_of_what_it_is() -> None:
    """The same id as a company and as a tenant are two, and a digest stays what it is."""
    assert digest_of("company", "51") != digest_of("tenant", "51")
    assert Whose(company="51").hashed.hashed == Whose(company="51").hashed
    assert Whose(company="51", publisher="p").describe() == {"company": digest_of("company", "51"), "publisher": "p"}


@pytest.mark.parametrize(
    ("whose", "name", "expected"),
    [
        (Whose(company="51"), "51", True),
        (Whose(company="51"), "t1/51", True),
        (Whose(company="51"), "visma-net-financial/t1/51", True),
        (Whose(company="51"), "/51/customer/1", True),
        (Whose(company="51"), "t1/9/customer/51", False),
        (Whose(company="51"), "t1/9/51", True),
        (Whose(company="51"), "crm", False),
        (Whose(company="51", tenant="t2"), "t1/51", False),
        (Whose(company="4711"), "t1/9/customer/4711", False),
        (Whose(company="a company"), "t1/a%20company/customer/1", True),
        (Whose(company="guid-1234"), "mine:guid-1234:x", True),
        (Whose(tenant="t1"), "t1", True),
        (Whose(tenant="t1"), "t1/51", True),
        (Whose(tenant="t1"), "t2/t1", False),
    ],
)
def test_what_is_named_by_it(whose: Whose, name: str, *, expected: bool) -> None:
    """A name has the ids where ours have them; elsewhere a number may be that of a record."""
    assert whose.is_named(name) is expected


@pytest.mark.parametrize(
    ("company", "text", "masked"),
    [
        ("needle-1", "of needle-1.", "of erased."),
        ("needle-1", "of needle-12 and xneedle-1", None),
        ("1048362", "company 1048362 asked", "company erased asked"),
        ("51", "51 events", None),
        ("4711", "customer 4711", None),
    ],
)
def test_a_text_that_has_it(company: str, text: str, masked: str | None) -> None:
    """Only an id that can be nothing else is masked in a text, and only where it is a word of its own."""
    whose = Whose(company=company)
    assert whose.is_in(text) is (masked is not None)
    if masked is not None:
        assert whose.masked(text) == masked
