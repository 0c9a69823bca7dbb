"""The script that knows by whom versions were made: what is an echo, what is handled, and what waits; on each store."""

from functools import partial

import pytest
from support.waiting import eventually

from router.store.client import Store
from router.store.echoes import KEPT, RecordOf, Versions

OTHER = "somebody-else"


class Story:
    """What happened to a record."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.versions = Versions(store.keys, RecordOf("p", "t", "1", "v1/customer/1"))

    async def wrote(self, version: str | None, on: str, write: str = "w") -> None:
        """Have a write of ours make a version."""
        await self.store.call(self.versions.begin(write, 60))
        await self.store.call(self.versions.end(write, version, on))

    async def handled(self, version: str | None, *, by: str = "sub") -> None:
        """Have a subscription handle a version."""
        await self.store.call(self.versions.leave(by, "a0", version))

    async def judge(self, version: str, *, attempt: str = "a1", longest: float = 60, may_be: bool = True) -> str:
        """Return what is said of a version that was fetched."""
        found = await self.store.call(self.versions.judge("sub", attempt, version, longest, may_be_echo=may_be))
        return str(found.decode())


@pytest.fixture
def story(store: Store) -> Story:
    """Return a record of which nothing is known."""
    return Story(store)


async def test_a_chain_of_ours(story: Story) -> None:
    """Writes of ours on a version that was handled are echoes, however many; each leads to the one before."""
    await story.handled("1")
    assert await story.judge("2", attempt="a2") == "handle"
    await story.handled(None)
    await story.store.call(story.versions.leave("sub", "a2", None))
    await story.wrote("2", "=1")
    await story.wrote("3", "=2")
    assert await story.judge("3") == await story.judge("2") == "echo"


@pytest.mark.parametrize("on", ["?", "=1", "=1, of another form"])
async def test_what_was_not_handled(story: Story, on: str) -> None:
    """A write on a version that nobody handled, or nobody knows of, is no echo."""
    await story.wrote("2", on)
    await story.handled("1", by=OTHER)
    assert await story.judge("2") == "handle"


async def test_a_foreign_version_between(story: Story) -> None:
    """A version of somebody else in the chain is no echo, nor is what was written on it, until it was handled."""
    await story.handled("1")
    await story.wrote("2", "=1")
    await story.wrote("4", "=3")
    assert await story.judge("4") == "handle"
    await story.handled("4")
    assert await story.judge("4", attempt="a2") == "echo"
    assert await story.judge("3", attempt="a3") == "handle"


async def test_a_record_of_ours(story: Story) -> None:
    """What a write of ours made out of nothing is an echo, and what we wrote on it."""
    await story.wrote("1", "+")
    await story.wrote("2", "=1")
    assert await story.judge("2") == "echo"


async def test_a_version_that_was_handled_is_no_echo_by_itself(story: Story) -> None:
    """A second event of a version of somebody else is handled: it may be another change of it."""
    await story.handled("1")
    assert await story.judge("1") == "handle"


async def test_an_attempt_under_way(story: Story) -> None:
    """A write on a version that is being handled waits for that: failed, it is handled; finished, an echo."""
    assert await story.judge("1", attempt="a0") == "handle"
    await story.wrote("2", "=1")
    assert await story.judge("2") == "wait"
    await story.handled(None)
    assert await story.judge("2") == "handle"
    assert await story.judge("1", attempt="a0") == "handle"
    await story.handled("1")
    assert await story.judge("2", attempt="a2") == "echo"


async def test_a_write_under_way(story: Story) -> None:
    """While a write is under way nobody knows whose a new version is: it waits; what may be no echo does not."""
    call = story.versions.begin("w1", 60)
    assert await story.store.call(call) == 0
    assert await story.judge("2") == "wait"
    assert await story.judge("2", attempt="a2", may_be=False) == "handle"
    assert await story.store.call(call) == 1
    await story.store.call(story.versions.end("w1", None, "?"))
    assert await story.judge("2") == "handle"


async def test_who_died_is_not_waited_for(story: Story) -> None:
    """A write or an attempt that never ended is waited for as long as it may take, and no longer."""
    await story.store.call(story.versions.begin("w1", 0.01))
    await story.judge("1", attempt="a0", longest=0.01, may_be=False)
    await story.wrote("2", "=1", "w2")

    async def is_handled(version: str) -> bool:
        return await story.judge(version) == "handle"

    for version in ("3", "2"):
        await eventually(partial(is_handled, version))


async def test_it_is_bounded(story: Story) -> None:
    """Of one record some hundred versions are known; beyond that all is forgotten, and so handled; all in a day."""
    await story.handled("0")
    for number in range(300):
        await story.wrote(str(number + 1), f"={number}")
    key = story.store.keys.versions(RecordOf("p", "t", "1", "v1/customer/1"))
    assert 0 < await story.store.command("HLEN", key) <= 256
    assert 0 < await story.store.command("PTTL", key) <= KEPT
    assert await story.judge("300") == "handle"


async def test_each_record_has_its_own(store: Store) -> None:
    """Versions of another publisher, tenant, company or path are not mixed up, whatever they are called."""
    names = [
        ("p", "t", "1", "a"),
        ("p", "t", "1a", ""),
        ("p", "t1", "", "a"),
        ("pt", "", "1", "a"),
        ("p", "t", "1", "b"),
    ]
    keys = {store.keys.versions(RecordOf(*name)) for name in names}
    assert len(keys) == len(names)
