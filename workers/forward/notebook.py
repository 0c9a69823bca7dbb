"""Writes down how the last exchange of each forward ended, for operators to see: at most once a second for all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from config.forward import ForwardSettings
from router.store.client import Store
from router.store.errors import STORE_ERRORS
from workers.state.forwards import Deferral, LastExchange, last_exchanges, note_exchanges

__all__ = ["Notebook"]

_PAUSE = 1.0


class Notebook:
    """What is to be written down of the forwards of this process; `clock` in epoch seconds."""

    def __init__(self, store: Store, clock: Callable[[], float], pause: float = _PAUSE) -> None:
        self._store = store
        self._clock = clock
        self._pause = pause
        self._forwards: dict[str, LastExchange] = {}
        self._unwritten = set[str]()
        self._gone = set[str]()
        self._news = asyncio.Event()

    def begin(self, forward: ForwardSettings) -> None:
        """Take note of a forward that runs from now on, or goes elsewhere."""
        before = self._forwards.get(forward.name, LastExchange(forward.name, "", ""))
        self._gone.discard(forward.name)
        self._put(replace(before, host=forward.host, form=forward.format, deferral=None))

    def ended(self, name: str) -> None:
        """Take note of a forward that the settings name no more."""
        self._forwards.pop(name, None)
        self._unwritten.discard(name)
        self._gone.add(name)
        self._news.set()

    def note(self, name: str, answer: str, seconds: float) -> None:
        """Take note of how an exchange ended."""
        if before := self._forwards.get(name):
            self._put(replace(before, at=datetime.fromtimestamp(self._clock(), UTC), answer=answer, seconds=seconds))

    def defer(self, name: str, deferral: Deferral | None) -> None:
        """Take note of whether its receiver puts events off."""
        if (before := self._forwards.get(name)) and before.deferral != deferral:
            self._put(replace(before, deferral=deferral))

    def _put(self, one: LastExchange) -> None:
        self._forwards[one.name] = one
        self._unwritten.add(one.name)
        self._news.set()

    async def run(self) -> None:
        """Write whenever there is something new, until cancelled; a store that is away gets it when it is back."""
        known = False
        while True:
            await self._news.wait()
            self._news.clear()
            known = known or await self._remember()
            if known:
                await self._write()
            await asyncio.sleep(self._pause)

    async def _remember(self) -> bool:
        """Take over what was written before this process began; return False where the store is away."""
        try:
            before = await last_exchanges(self._store)
        except STORE_ERRORS:
            self._news.set()
            return False
        for name, one in self._forwards.items():
            if one.at is None and (last := before.get(name)):
                deferral = last.deferral if last.host == one.host else None
                self._forwards[name] = replace(last, host=one.host, form=one.form, deferral=deferral)
        return True

    async def _write(self) -> None:
        names, gone = sorted(self._unwritten), sorted(self._gone)
        self._unwritten.clear()
        self._gone.clear()
        try:
            await note_exchanges(self._store, [self._forwards[name] for name in names], gone)
        except STORE_ERRORS:
            self._unwritten |= self._forwards.keys() & set(names)
            self._gone |= set(gone) - self._forwards.keys()
            self._news.set()
