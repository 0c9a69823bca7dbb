"""Rules of the catalogue: events are found by any spelling of their name, streams by globs."""

from dataclasses import FrozenInstanceError

import pytest

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import UNLISTED, Catalogue, UnknownStream

FINANCIAL = "visma-net-financial"
ORDERS = "visma-net-erp-salesorderservice"
VOUCHERS = "visma-net-journal-transaction"

LISTED = {
    FINANCIAL: """
        Account Changed, Account Created, Account Deleted, Account Identity Changed, Account Updated,
        AP Invoice Status Changed, AR Invoice Action Triggered, AR Invoice Changed, AR Invoice Status Changed,
        Customer Action Triggered, Customer Changed, Customer Created, Customer Updated, Dimension Changed,
        Employee Changed, EP Employee Created, EP Employee Updated, First Time Startup Completed,
        Inventory Item Action Triggered, Inventory Item Changed, Inventory Item Created, Inventory Item Updated,
        PM Project Action Triggered, PM Project Created, PM Project PMTask Updated, PM Project Updated, Project Changed,
        Purchase Order Action Triggered, Purchase Order Changed, Purchase Order Status Changed,
        Sales Order Action Triggered, Sales Order Changed, Sales Order Status Changed, Segment Changed,
        Segment Value Changed, Shipment Action Triggered, Shipment Changed, Shipment Deleted, Shipment Status Changed,
        Supplier Action Triggered, Supplier Changed, Supplier Created, Supplier Updated,
        Background API Operation Response Ready""",
    ORDERS: "SALESORDER_CREATED, SALESORDER_UPDATED, SALESORDER_DELETED, SALESORDER_UI_CUSTOMACTION",
    VOUCHERS: """
        IMPORT_VOUCHER_FAILED, IMPORT_VOUCHER_SUCCESSFUL, VOUCHER_DOCUMENT_SYNCHRONIZATION_FAILED,
        VOUCHER_DOCUMENT_SYNCHRONIZED, VOUCHER_PROCESSED, VOUCHER_PROCESSING_FAILED, VOUCHER_RECEIVED,
        VOUCHER_SYNCHRONIZATION_FAILED, VOUCHER_SYNCHRONIZATION_STARTED, VOUCHER_SYNCHRONIZED""",
}
NAMES = [(slug, " ".join(name.split())) for slug, names in LISTED.items() for name in names.split(",")]


def canonical(name: str) -> str:
    """Return the type that goes with a name of the list."""
    return name.lower().replace(" ", "_")


@pytest.mark.parametrize(("publisher", "name"), NAMES)
def test_every_listed_event_is_known(catalogue: Catalogue, publisher: str, name: str) -> None:
    """Each event Visma lists is known by the words of its name, and is matched however these are cased."""
    row = catalogue.event_type(publisher, canonical(name))
    assert row is not None
    for spelling in (name, name.lower(), name.upper(), name.title().replace(" ", ""), canonical(name)):
        assert catalogue.match(publisher, spelling) is row
    for alias in row.aliases:
        assert catalogue.match(publisher, alias.swapcase()) is row


def test_nothing_else_is_listed(catalogue: Catalogue) -> None:
    """The catalogue has these 58 events and no more."""
    assert len(NAMES) == 58
    types = {(slug, event.type) for slug, publisher in catalogue.publishers.items() for event in publisher.events}
    assert types == {(slug, canonical(name)) for slug, name in NAMES}


@pytest.mark.parametrize(
    ("wire_name", "type_"),
    [
        ("customerinvoice_changed", "ar_invoice_changed"),
        ("CustomerInvoice_Status_Changed", "ar_invoice_status_changed"),
        ("customerinvoice_action_triggered", "ar_invoice_action_triggered"),
        ("supplierinvoice_status_changed", "ap_invoice_status_changed"),
        ("inventoryitem_changed", "inventory_item_changed"),
        ("salesorder_changed", "sales_order_changed"),
        ("BACKGROUND_API_RESPONSE", "background_api_operation_response_ready"),
    ],
)
def test_wire_names(catalogue: Catalogue, wire_name: str, type_: str) -> None:
    """The names seen on the wire lead to the events that the list calls otherwise."""
    row = catalogue.match(FINANCIAL, wire_name)
    assert row is not None
    assert row.type == type_


@pytest.mark.parametrize("wire_name", ["invoice_printed", "unlisted", "", "___", "customer", "customer_changed_twice"])
def test_unknown_name(catalogue: Catalogue, wire_name: str) -> None:
    """A name that is not listed matches nothing, and no publisher knows another's events."""
    assert catalogue.match(FINANCIAL, wire_name) is None
    assert catalogue.match(ORDERS, "customer_changed") is None
    assert catalogue.match("acme", "customer_changed") is None
    assert catalogue.event_type(FINANCIAL, UNLISTED) is None


def test_streams(catalogue: Catalogue) -> None:
    """There is a stream for every event and one for the unlisted of each publisher, in the same order every time."""
    streams = catalogue.streams()
    assert len(streams) == len(set(streams)) == 58 + 3
    assert streams == Catalogue.load().streams()
    assert [stream for stream in streams if stream.endswith("/unlisted")] == [
        f"{publisher}/unlisted" for publisher in catalogue.publishers
    ]


@pytest.mark.parametrize(
    ("globs", "count"),
    [
        (["*"], 61),
        (["visma-net-financial/*"], 45),
        (["visma-net-financial/customer_*"], 4),
        (["*/customer_*", "visma-net-financial/customer_changed"], 4),
        (["*/unlisted"], 3),
        (["*/voucher_receive[d]", "*/salesorder_?pdated"], 2),
        ([], 0),
    ],
)
def test_select(catalogue: Catalogue, globs: list[str], count: int) -> None:
    """Globs select streams, each once and in the order of the catalogue."""
    chosen = catalogue.select(*globs)
    assert len(chosen) == count
    assert list(chosen) == [stream for stream in catalogue.streams() if stream in chosen]


@pytest.mark.parametrize(
    ("glob", "suggestion"),
    [
        ("visma-net-financial/custommer_changed", "visma-net-financial/customer_changed"),
        ("Visma-Net-Financial/customer_changed", "visma-net-financial/customer_changed"),
        ("customer_changed", "visma-net-financial/customer_changed"),
        ("qqqqqq", "event-router catalogue"),
    ],
)
def test_glob_that_selects_nothing(catalogue: Catalogue, glob: str, suggestion: str) -> None:
    """A glob without a match is an error, which says what may have been meant."""
    with pytest.raises(UnknownStream, match=glob) as caught:
        catalogue.select("*", glob)
    assert suggestion in str(caught.value)


def test_catalogue_is_frozen(catalogue: Catalogue) -> None:
    """A catalogue cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        catalogue.publishers = {}
    with pytest.raises(TypeError):
        catalogue.publishers["x"] = None


def test_a_setting_that_names_no_publisher_is_refused() -> None:
    """A slip of the pen in a secret's name must not leave a publisher without its secret, unsaid."""
    for wrong in ({"secrets": {"visma_net_financal": ("x",)}}, {"allow_unsigned": ("nobody",)}):
        with pytest.raises(ConfigError, match="is no publisher; known are"):
            Catalogue.for_settings(Settings(**wrong))
    assert Catalogue.for_settings(Settings(secrets={"visma_net_financial": ("x",)})).publishers
