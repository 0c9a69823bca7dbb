"""What people see of raw bodies, and what is kept of those who saw more."""

import pytest
from support.cli import Cli
from support.filling import CUSTOMERS, FINANCIAL

from router import audit
from router.store import Store

CANARY = "canary-55ab"
RAW = f'{{"event": "customer_changed", "notificationId": "n1", "contextId": "51", "name": "{CANARY}"}}'.encode()

COMMANDS = [("events", "show", "n1"), ("dlq", "show", "n1"), ("quarantine", "show", "q1")]


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """Return the command line over a store with an event, a dead letter and a quarantined body that say the same."""

    async def put(store: Store) -> None:
        keys = store.keys
        event = {"id": "n1", "at": 1_700_000_000_000, "raw": RAW}
        await store.client.xadd(keys.events(CUSTOMERS), event)
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


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_complete(filled: Cli, command: tuple[str, ...]) -> None:
    """What programs read is what was sent."""
    assert CANARY in filled.json(*command)["raw"]
