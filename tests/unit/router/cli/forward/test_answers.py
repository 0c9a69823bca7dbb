"""What a receiver answered, where an operator sees it: masked as a body is, unless it is revealed."""

import json
import time

from support.cli import Cli
from support.filling import CUSTOMERS, put_dead, put_group

from router.store.client import Store
from workers.delivery import error_line
from workers.forward.verdict import BadAnswer

SAID = "the receiver answered 400 Bad Request"
ANSWER = '{"error": "Jane Doe is unknown\\u001b[31m"}'


async def fill(store: Store) -> None:
    """Put a dead letter of a forward."""
    await put_group(store, "sync")
    await put_dead(store, "e1")
    key = store.keys.dead(CUSTOMERS, "sync")
    [(entry_id, fields)] = await store.client.xrange(key)
    line = error_line(BadAnswer(SAID, ANSWER), 1, time.time())
    await store.client.xdel(key, entry_id)
    await store.client.xadd(key, {**fields, b"history": line, b"attempts": "1"})


def test_an_answer_that_is_masked(cli: Cli) -> None:
    """Where nothing but an answer is masked that is said, too: of a dead letter, and of an event with its attempts."""

    async def fill_bare(store: Store) -> None:
        await fill(store)
        key = store.keys.dead(CUSTOMERS, "sync")
        [(entry_id, fields)] = await store.client.xrange(key)
        await store.client.xdel(key, entry_id)
        bare = b'{"event": "customer_changed", "notificationId": "e1"}'
        await store.client.xadd(
            store.keys.events(CUSTOMERS), {"id": "e1", "at": 1_760_000_000_000, "raw": bare}, entry_id
        )
        await store.client.xadd(key, {**fields, b"raw": bare, b"origin": entry_id})

    cli.fill(fill_bare)
    for command in (("dlq", "show", "e1"), ("events", "show", "e1", "--attempts")):
        assert "--reveal shows them" in cli.run(*command).stderr
        assert "--reveal" not in cli.run(*command, "--reveal").stderr
    assert "--reveal" not in cli.run("events", "show", "e1").stderr


def test_a_dead_letter(cli: Cli) -> None:
    """Lists have the status alone; a dead letter has the answer without its values, or, revealed, with them."""
    cli.fill(fill)
    assert "Jane" not in cli.ok("dlq", "list")
    [listed] = json.loads(cli.ok("dlq", "list", "--json"))
    assert (listed["error"], listed["message"]) == ("BadAnswer", SAID)
    masked = cli.ok("dlq", "show", "e1")
    assert SAID in masked
    assert '{"error": "***"}' in masked
    revealed = cli.ok("dlq", "show", "e1", "--reveal")
    assert "Jane Doe is unknown" in revealed
    assert "\x1b" not in revealed
    shown = json.loads(cli.ok("dlq", "show", "e1", "--json"))
    assert shown["history"][0]["message"] == f'{SAID}\n{{"error": "***"}}'
    assert "Jane" in json.loads(cli.ok("dlq", "show", "e1", "--json", "--reveal"))["history"][0]["message"]
    assert "Jane" not in cli.ok("dlq", "stats")
