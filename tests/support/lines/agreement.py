"""Whether what the store keeps is what the model says, and fits together by itself."""

from collections import Counter

from support.lines.model import Model, stream_of
from support.lines.place import Kept

__all__ = ["agree"]


def agree(kept: Kept, model: Model) -> None:
    """Compare what is kept with the model."""
    assert kept.lines == {key: line for key, line in model.lines.items() if line}
    assert kept.bodies == model.bodies
    assert kept.due == model.due
    assert kept.quiet == model.quiet
    assert kept.running == {key: run.until for key, run in model.runs.items()}
    assert set(kept.held) == model.held
    assert kept.stopped == model.stopped, (kept.stopped, model.stopped)
    assert kept.crashed == model.crashed
    assert kept.read == model.read
    ready = [(model.company(key), model.since(key), model.lines[key][0], key) for key in model.ready]
    assert sorted(kept.ready) == sorted(ready)
    _is_whole(kept, model)
    _in_one_place(kept)
    _turns(kept, model)


def _is_whole(kept: Kept, model: Model) -> None:
    """Find nothing lost or left behind: each accepted event is in the lines or ended, and all else is about those."""
    refs = [ref for line in kept.lines.values() for ref in line]
    assert len(refs) + len(model.ended) == model.accepted
    assert not model.ended.intersection(refs)
    assert sorted(kept.bodies) == sorted(refs)
    assert kept.crashed.keys() <= set(refs)
    assert kept.length == Counter(map(stream_of, refs))
    assert kept.owners.keys() == kept.running.keys()
    limited = [(run.company, key) for key, run in model.runs.items()] if model.limit else []
    assert sorted(kept.busy) == sorted(limited)


def _in_one_place(kept: Kept) -> None:
    """Find a key that has events in one place, and one without in none, except that it may be held."""
    places = Counter([key for *_, key in kept.ready] + [*kept.due, *kept.quiet, *kept.running])
    for key in kept.lines:
        assert places[key] + (key in kept.held) == 1
    assert places.keys() <= kept.lines.keys()


def _turns(kept: Kept, model: Model) -> None:
    """Find no company that runs more than it may, and all that may have a turn waiting for it."""
    running = Counter(run.company for run in model.runs.values())
    assert not model.limit or all(number <= model.limit for number in running.values())
    assert model.claimable() <= set(kept.turns)
