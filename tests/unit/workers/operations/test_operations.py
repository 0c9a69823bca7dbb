"""The example of docs/operations.md, run as it stands there."""

import re
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from support.filling import CUSTOMERS, history, put_dead, put_group
from support.stores import fake_store, fresh_keys

import workers.operations
from router.store.client import Store

DOCUMENT = Path(workers.operations.__file__).parents[2] / "docs" / "operations.md"


def test_the_example_replays_by_its_own_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is documented works: it replays the letters that its rule wants, and leaves the others."""
    import asyncio  # noqa: PLC0415 - the example brings a loop of its own

    server, keys = fakeredis.FakeServer(), fresh_keys()

    @asynccontextmanager
    async def open_store(*_: Any, **__: Any) -> AsyncIterator[Store]:
        async with fake_store(keys, server) as store:
            yield store

    async def fill() -> None:
        async with open_store() as store:
            await put_group(store, "customer-sync")
            for event, message in (("e1", "record is locked"), ("e2", "no such record"), ("e3", "locked by kari")):
                given = {"history": history(message, error="CrmError")}
                await put_dead(store, event, subscription="customer-sync", fields=given)

    async def left() -> list[str]:
        async with open_store() as store:
            found = await store.client.xrange(store.keys.dead(CUSTOMERS, "customer-sync"))
            return [fields[b"id"].decode() for _, fields in found]

    asyncio.run(fill())
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    script = tmp_path / "script.py"
    script.write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workers.operations.operations.open_store", open_store)
    runpy.run_path(str(script))
    said = capsys.readouterr().out
    assert "2 dead letters of customer-sync" in said
    assert "replayed 2, 0 were refused, 0 were gone" in said
    assert asyncio.run(left()) == ["e2"]


def test_nothing_else_is_exported() -> None:
    """A name that the package does not have is an AttributeError, as of any module."""
    assert workers.operations.Operations.__name__ == "Operations"
    with pytest.raises(AttributeError, match="Operation"):
        workers.operations.Operation  # noqa: B018
