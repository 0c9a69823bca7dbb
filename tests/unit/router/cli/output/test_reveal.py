"""What people see of raw bodies, and what is kept of those who saw more."""

import json

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL

from router.store.client import Store
from workers.operations import audit

CANARY = "canary-55ab"
RAW = json.dumps(
    {
        "event": "customer_changed",
        "notificationId": "n1",
        "contextId": "51",
        **dict.fromkeys(["userId", "apiClientId", "connectId", "name"], CANARY),
    }
).encode()

COMMANDS = [("events", "show", "n1"), ("dlq", "show", "n1"), ("quarantine", "show", "q1")]


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return the command line over a store with an event, a dead letter and a quarantined body that say the same."""

    async def put(store: Store) -> None:
        keys = store.keys
        event = {"id": "n1", "at": 1_700_000_000_000, "raw": RAW}
        await store.client.xadd(keys.events(CUSTOMERS), event, id="1700000000000-0")
        for key in (keys.events(CUSTOMERS), keys.inbox(CUSTOMERS, "sync")):
            await store.client.xgroup_create(key, "sync", "$", mkstream=True)
        await store.client.xadd(keys.dead(CUSTOMERS, "sync"), {**event, "reason": "r"})
        await store.client.xadd(keys.quarantine(FINANCIAL), {**event, "id": "q1", "reason": "r"})

    cli.fill(put)
    return cli


async def _reveals(store: Store) -> list[str]:
    return [line.subject async for line in audit.lines(store, verb="reveal")]


@pytest.mark.parametrize("command", COMMANDS)
def test_bodies_are_masked_until_revealed(filled: Cli, command: tuple[str, ...]) -> None:
    """Without --reveal the keys are there and the values are not, and nothing is kept; with it the audit has a line."""
    masked = filled.ok(*command)
    assert CANARY not in masked
    assert '"name": "***"' in masked
    assert filled.fill(_reveals) == []
    assert CANARY in filled.ok(*command, "--reveal")
    (subject,) = filled.fill(_reveals)
    assert command[2] in subject or "quarantined" in subject


SAID = "event-router: values are masked; --reveal shows them, and the audit says that you did\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_masked_says_how_to_see_it(filled: Cli, command: tuple[str, ...]) -> None:
    """What people are shown ends with how to see what is masked in it, on stderr; JSON, and what is whole, do not."""
    assert filled.run(*command).stderr.endswith(SAID)
    assert SAID not in filled.run(*command, "--json").stderr
    assert SAID not in filled.run(*command, "--reveal").stderr


@pytest.mark.parametrize(
    ("raw", "hints", "is_masked"),
    [
        (b'{"event": "customer_changed", "notificationId": "q2"}', {}, False),
        (b'{"event": "customer_changed", "notificationId": "q2"}', {"x-vwd-id": "1"}, False),
        (b'{"event": "customer_changed", "notificationId": "q2"}', {"x-company": "51"}, True),
        (b'{"notificationId": "q2", "a": {"b": null}}', {}, False),
        (b'{"notificationId": "q2", "a": {"b": 1}}', {}, True),
        (b"\xff", {}, True),
        (b"[" + b"[]," * 60 + b"[]]", {}, True),
    ],
)
def test_what_masks_nothing_says_nothing(cli: Cli, raw: bytes, hints: dict[str, str], *, is_masked: bool) -> None:
    """A body that is shown whole has nothing to reveal; one that is cut or shown by its length has, and hints."""

    async def put(store: Store) -> None:
        fields = {"id": "q2", "at": 1_700_000_000_000, "raw": raw, "reason": "r"}
        more = {"hints": json.dumps(hints)} if hints else {}
        await store.client.xadd(store.keys.quarantine(FINANCIAL), {**fields, **more})

    cli.fill(put)
    assert (SAID in cli.run("quarantine", "show", "q2").stderr) == is_masked


LISTS = [("events", "list"), ("events", "tail", "--until", "2024-01-01", "--lines", "5"), ("quarantine", "list")]


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_masked_until_revealed(filled: Cli, command: tuple[str, ...]) -> None:
    """JSON has no value that the table has not; with --reveal it is what was sent, and the audit has a line."""
    masked = filled.ok(*command, "--json")
    assert CANARY not in masked
    assert "***" in masked
    assert filled.fill(_reveals) == []
    assert filled.json(*command, "--reveal")["raw"] == RAW.decode()
    assert len(filled.fill(_reveals)) == 1


def test_fields_of_the_senders_own_are_masked(filled: Cli) -> None:
    """What is not a field of the event is shown by its name alone."""
    assert filled.json("events", "show", "n1")["extra"] == {"name": "***"}
    assert filled.json("dlq", "show", "n1")["event"]["extra"] == {"name": "***"}
    assert filled.json("events", "show", "n1", "--reveal")["extra"] == {"name": CANARY}
    assert filled.json("events", "show", "n1")["company_id"] == "51"


def test_the_fields_of_an_event_are_masked_as_in_its_body(filled: Cli) -> None:
    """Who made a change is masked in the event as in the bytes beside it, and shown in both where it is revealed."""
    people = ("user_id", "api_client_id", "connect_id")
    for command in (("events", "show", "n1"), ("dlq", "show", "n1")):
        masked, revealed = filled.json(*command), filled.json(*command, "--reveal")
        assert {masked.get("event", masked)[name] for name in people} == {"***"}
        assert {revealed.get("event", revealed)[name] for name in people} == {CANARY}
    assert filled.json("events", "show", "n1")["scheduled"] is None


@pytest.mark.parametrize("command", LISTS)
def test_lists_are_masked_until_revealed(filled: Cli, command: tuple[str, ...]) -> None:
    """A list in JSON is masked too; with --reveal the audit says which list it was, by which filter, and how many."""
    assert CANARY not in filled.ok(*command, "--json")
    assert filled.fill(_reveals) == []
    assert CANARY in filled.ok(*command, "--json", "--reveal")
    (line,) = filled.json("audit", "--verb", "reveal")
    assert (line["subject"], line["matched"], line["finished"]) == (" ".join(command[:2]), 1, True)


def test_every_reading_command_masks(filled: Cli) -> None:
    """Nothing that reads shows a value of a body, as a table or in JSON, unless it is asked to reveal it."""
    lists = [("events", "list"), ("quarantine", "list"), ("dlq", "list"), ("dlq", "stats"), ("streams",)]
    for command in (*COMMANDS, *lists):
        assert CANARY not in filled.ok(*command)
        assert CANARY not in filled.ok(*command, "--json")


@pytest.mark.parametrize("command", [("events", "list"), ("quarantine", "list"), ("events", "tail")])
def test_a_table_has_nothing_to_reveal(filled: Cli, command: tuple[str, ...]) -> None:
    """A list for people has no bodies: to reveal them there is a mistake, and no line says that somebody saw them."""
    assert "add --json" in filled.fails(2, *command, "--reveal")
    assert filled.fill(_reveals) == []


@pytest.mark.parametrize("command", [*COMMANDS, ("events", "list"), ("quarantine", "list")])
def test_nothing_is_revealed_without_a_line(filled: Cli, command: tuple[str, ...]) -> None:
    """Where the audit takes no line, nothing is shown."""

    async def spoil(store: Store) -> None:
        await store.client.set(store.keys.audit(), "no stream")

    filled.fill(spoil)
    result = filled.run(*command, "--reveal", "--json")
    assert (result.exit_code, CANARY in result.output) == (1, False)
    assert "the audit does not take a line" in result.stderr


def test_an_export_is_whole_and_audited(filled: Cli) -> None:
    """What is exported is for an import, to the byte: nothing of it is masked, and the audit says who took it."""
    assert CANARY in filled.ok("dlq", "export")
    (line,) = filled.json("audit")
    assert (line["verb"], line["matched"]) == ("dlq export", 1)
