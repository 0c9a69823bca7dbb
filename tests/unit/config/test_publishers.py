"""Rules of the publisher files: what they hold, and that every slip of the pen is found and named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import ConfigError
from config.publishers import Dialect, Publisher, fold, load_publishers

HEAD = """
slug = "acme"
name = "Acme"
"""
SIGNATURE = """
[signature]
scheme = "hmac-sha256"
encoding = "base64"
header = "X-Acme-Signature"
"""
EVENT = """
[[events]]
type = "thing_changed"
entity = "thing"
action = "changed"
description = "A thing changed."
"""
GOOD = HEAD + SIGNATURE + EVENT
MORE = EVENT.replace("thing_changed", "thing_made")


def write(directory: Path, text: str, name: str = "acme.toml") -> Path:
    """Write a publisher file and return where it is."""
    file = directory / name
    file.write_text(text, encoding="utf-8")
    return file


def test_packaged_publishers() -> None:
    """The package lists three publishers with 44, 4 and 10 events, signed alike."""
    publishers = {publisher.slug: publisher for publisher in load_publishers()}
    assert {slug: len(publisher.events) for slug, publisher in publishers.items()} == {
        "visma-net-financial": 44,
        "visma-net-erp-salesorderservice": 4,
        "visma-net-journal-transaction": 10,
    }
    assert {publisher.signature.header for publisher in publishers.values()} == {"x-vwd-signature-v1"}
    assert all(event.description.endswith(".") for publisher in publishers.values() for event in publisher.events)


def test_end_of_life() -> None:
    """Only the sales order events of Financial are at the end of their life, and each names what replaces it."""
    ending = {
        event.type: {name.partition("/")[2] for name in event.replaced_by}
        for publisher in load_publishers()
        for event in publisher.events
        if event.end_of_life or event.replaced_by
    }
    assert ending == {
        "sales_order_action_triggered": {"salesorder_ui_customaction"},
        "sales_order_changed": {"salesorder_created", "salesorder_updated", "salesorder_deleted"},
        "sales_order_status_changed": {"salesorder_updated"},
    }


def test_new_publisher_is_a_new_file(tmp_path: Path) -> None:
    """A directory adds a publisher to the packaged ones, and the header's name is kept in lower case."""
    write(tmp_path, GOOD)
    acme = load_publishers(tmp_path)[-1]
    assert (acme.slug, acme.events[0].type, acme.signature.header) == ("acme", "thing_changed", "x-acme-signature")
    assert len(load_publishers(tmp_path)) == 4


def test_later_directory_replaces(tmp_path: Path) -> None:
    """A file of the same name in a later directory takes the place of the earlier one, where that one stood."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    write(first, GOOD)
    write(second, GOOD.replace('"Acme"', '"Acme Two"'))
    assert [publisher.name for publisher in load_publishers(first, second)][3:] == ["Acme Two"]
    assert [publisher.name for publisher in load_publishers(second, first)][3:] == ["Acme"]


def test_dialect_is_folded(tmp_path: Path) -> None:
    """A dialect may write the names of fields as the sender does; what it leaves out stays as it is for Financial."""
    write(tmp_path, HEAD + '[dialect]\ncompany_id = ["Company_No"]\ntenant_id = []\n' + SIGNATURE + EVENT)
    dialect = load_publishers(tmp_path)[-1].dialect
    assert (dialect.company_id, dialect.tenant_id, dialect.event) == (("companyno",), (), ("event",))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        (GOOD + "\nbroken\n", "", "line 16"),
        (GOOD + '\nalias = ["x"]', "events[0].alias", "not permitted"),
        ("colour = 1\n" + GOOD, "colour", "not permitted"),
        (HEAD + EVENT, "signature", "required"),
        (GOOD.replace('name = "Acme"', "name = 5"), "name", "string"),
        (GOOD.replace('name = "Acme"', 'name = ""'), "name", "at least 1"),
        (GOOD.replace('"acme"', '"other"'), "slug", "must be the file's name, 'acme'"),
        (GOOD.replace('"acme"', '"Acme"'), "slug", "match"),
        (GOOD.replace('"acme"', '"acme\\n"'), "slug", "match"),
        (GOOD.replace("thing_changed", "Thing-Changed"), "events[0].type", "match"),
        (GOOD.replace("thing_changed", "unlisted"), "events", "'unlisted' is reserved"),
        (GOOD.replace("thing_changed", "___"), "events", "'___' needs a letter or digit"),
        (GOOD + EVENT, "events", "'thing_changed' and 'thing_changed' are one name"),
        (GOOD + MORE + 'aliases = ["Thing.CHANGED"]', "events", "'Thing.CHANGED' and 'thing_changed' are one name"),
        (GOOD + 'aliases = ["item", "I-tem"]', "events", "'I-tem' and 'item' are one name"),
        (GOOD + 'aliases = ["-"]', "events", "'-' needs a letter or digit"),
        (GOOD + 'replaced_by = ["acme/none"]', "events.thing_changed.replaced_by", "'acme/none' names no listed event"),
        ("events = []\n" + HEAD + SIGNATURE, "events", "at least 1"),
        (HEAD + SIGNATURE, "events", "required"),
        (GOOD.replace("hmac-sha256", "md5"), "signature.scheme", "hmac-sha256"),
        (GOOD.replace("X-Acme-Signature", "X Acme"), "signature.header", "match"),
        ("[dialect]\nevent = []\n", "dialect.event", "at least 1"),
        ('[dialect]\ntenant_id = ["--"]\n', "dialect.tenant_id", "letter or digit"),
        ('[dialect]\ntenant_id = ["UserId"]\n', "dialect", "'userid' is a name of both"),
        ('[dialect]\nshoe = ["size"]\n', "dialect.shoe", "not permitted"),
        (GOOD + "[absent]\nshoe = [0]\n", "", "absent: 'shoe' is no field"),
        (GOOD + "[absent]\ncompany_id = 0\n", "absent", "tuple"),
        (GOOD + "[absent]\ncompany_id = [0.5]\n", "absent", "string"),
        (GOOD + '[actions]\nINSERT = "Was Made"\n', "actions", "match"),
        (GOOD + '[paths]\nescape = "none"\n', "paths.escape", "'b64' or 'percent'"),
        (GOOD + '[paths]\nrecords = ["orders"]\n', "paths.records[0]", "match"),
        (GOOD + '[paths]\nrecords = ["orders/{a b}"]\n', "paths.records[0]", "match"),
        (GOOD + "shapes = [[]]", "events[0].shapes[0]", "at least 1"),
        ('hints = ["a b"]\n' + GOOD, "hints[0]", "match"),
    ],
)
def test_fault_is_named(tmp_path: Path, text: str, key: str, reason: str) -> None:
    """A fault is one line that names the file, the key and the reason."""
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_publishers(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert key in message
    assert reason in message
    assert "\n" not in message


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A directory that is not there, or a file that is no text or no file, is a fault of the configuration."""
    with pytest.raises(ConfigError, match="no such directory"):
        load_publishers(tmp_path / "absent")
    (tmp_path / "acme.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"acme\.toml: .*utf-8"):
        load_publishers(tmp_path)
    (tmp_path / "acme.toml").unlink()
    (tmp_path / "acme.toml").mkdir()
    with pytest.raises(ConfigError, match=r"acme\.toml: .*directory"):
        load_publishers(tmp_path)


def test_replaced_publisher_must_keep_what_others_name(tmp_path: Path) -> None:
    """What `replaced_by` names must be listed by the publishers as they are in the end."""
    slug = "visma-net-erp-salesorderservice"
    write(tmp_path, GOOD.replace("acme", slug), f"{slug}.toml")
    with pytest.raises(ConfigError, match=r"visma-net-financial\.toml: events\.sales_order_action_triggered"):
        load_publishers(tmp_path)


def test_models_are_frozen_and_hashable() -> None:
    """A publisher cannot be changed once it is read."""
    publisher = load_publishers()[0]
    assert isinstance(hash(publisher), int)
    with pytest.raises(ValidationError):
        publisher.name = "x"
    assert Publisher.model_validate(publisher.model_dump()) == publisher
    assert hash(Dialect()) == hash(Publisher.model_validate(publisher.model_dump(exclude={"dialect"})).dialect)


@pytest.mark.parametrize(
    "name",
    ["AccountIdentityChanged", "Account_Identity_Changed", "account_identitychanged", "ACCOUNT IDENTITY-CHANGED"],
)
def test_fold(name: str) -> None:
    """Case and separators are no part of a name."""
    assert fold(name) == "accountidentitychanged"
