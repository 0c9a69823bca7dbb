"""The readiness check of the store, when the store does not answer at all."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from router.store.client import Store
from router.store.health import survey
from router.store.health.survey import store_check


def store_whose_ping(ends: asyncio.Event) -> Store:
    """Return what stands for a store that answers as soon as `ends` is set."""
    return cast("Store", SimpleNamespace(command=lambda _ping: ends.wait()))


async def test_a_store_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for readiness hears in time that the store does not answer, and does not take us to hang as well."""
    monkeypatch.setattr(survey, "_ANSWER", 0.01)
    async with asyncio.timeout(30):
        assert await store_check(store_whose_ping(asyncio.Event())) == {"store": "no answer within 0.01 s"}


async def test_a_store_that_answers() -> None:
    """A store that answers passes."""
    answered = asyncio.Event()
    answered.set()
    assert await store_check(store_whose_ping(answered)) == {"store": True}


def test_the_answer_comes_before_probes_give_up() -> None:
    """Probes of Kubernetes, like most others, wait for one second unless they are told otherwise."""
    assert survey._ANSWER < 1
