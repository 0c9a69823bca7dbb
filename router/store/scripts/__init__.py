"""The Lua scripts, and one typed function for each; every move of an event between two places is one of them.

A function here only says what to run, as a `Call`; `Store.run` runs it, alone or with others in one round trip.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from itertools import chain
from typing import NamedTuple

BATCH = 100
"""Most items one script call may handle: a script blocks the whole server while it runs."""

_TRIMMED = 500
"""Most events one call may trim: the server does it node by node, without a look at what is in them."""

Field = bytes | str | int

_LIBRARY = re.compile(rb"^--- (lib/\w+\.lua)\n", re.MULTILINE)


def _read(path: str) -> bytes:
    return files(__package__).joinpath(path).read_bytes()


class Script:
    """One Lua file of this folder, and the digest that the server knows it by.

    A line `--- lib/NAME.lua` in it stands for that file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = _LIBRARY.sub(lambda line: _read(line[1].decode()), _read(f"{name}.lua"))
        self.sha = sha1(self.source, usedforsecurity=False).hexdigest()


_script = cache(Script)


class Call(NamedTuple):
    """A script with its arguments, ready to run."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Field]


def append(
    stream: str, markers: Sequence[str], fields: Sequence[Field], window: int, widths: Sequence[int] = ()
) -> Call:
    """Append the items not seen within `window` milliseconds; `fields` holds those of all items in one row.

    `widths` says how many of them each item has, where they differ. Reply: for each item its entry id, or an empty
    string for a duplicate.
    """
    width = 0 if widths else len(fields) // max(1, len(markers))
    return Call(_script("append"), (stream, *markers), (window, width, *widths, *fields))


def ack(stream: str, group: str, ids: Sequence[Field], *, inbox: bool) -> Call:
    """Acknowledge finished deliveries. Reply: the ids that had been lost to another consumer."""
    return Call(_script("ack"), (stream,), (group, int(inbox), *ids))


def move(
    source: str, target: str, group: str, consumer: str, entry_id: Field, fields: Sequence[Field], *, inbox: bool
) -> Call:
    """Move a pending delivery to its dead letters, or back to the inbox. Reply: the new id, empty if not ours."""
    return Call(_script("move"), (source, target), (group, consumer, entry_id, int(inbox), 0, *fields))


def bury(dead: str, marker: str, ttl: int, fields: Sequence[Field]) -> Call:
    """Add an event to its dead letters or an inbox, once in `ttl` milliseconds by its marker. Reply: its entry id."""
    return Call(_script("bury"), (dead, marker), (ttl, *fields))


def advance(stream: str, group: str, last: Field, read: int) -> Call:
    """Move a group on to entry `last`, after so many more were read. Reply: 1, or 0 where it is there already."""
    return Call(_script("advance"), (stream,), (group, last, read))


def delete(stream: str, ids: Sequence[Field]) -> Call:
    """Delete entries. Reply: how many were there."""
    return Call(_script("delete"), (stream,), ids)


def erase(stream: str, ids: Sequence[Field], due: str = "") -> Call:
    """Remove entries for good, those in hand as well, and from what schedules them. Reply: how many were there."""
    return Call(_script("erase"), (stream, due) if due else (stream,), ids)


def replace(stream: str, entry_id: Field, marker: str, ttl: int, fields: Sequence[Field]) -> Call:
    """Remove an entry, and add this one, once in `ttl` milliseconds by its marker. Reply: 0 where it was gone."""
    return Call(_script("replace"), (stream, marker), (entry_id, ttl, *fields))


def exchange(key: str, field: Field, was: Field, value: Field) -> Call:
    """Give a field of a hash another value. Reply: 1; 0 where it is gone, -1 where it has another one than it `was`."""
    return Call(_script("exchange"), (key,), (field, was, value))


def copy(stream: str, copied: str, count: int, upto: Field = "+", was: Sequence[Field] = (), *fields: Field) -> Call:
    """Copy the next `count` entries of a stream, those before one. Reply: how many that were, and their bytes.

    fields: of that one, once it is its turn, in place of those that it has: `was`, else the number in the reply is -1.
    """
    return Call(_script("compact/copy"), (stream, copied), (count, upto, len(was), *was, *fields))


def swap(stream: str, copied: str, pages: int, in_hand: int) -> Call:
    """Put a copy in the place of its stream. Reply: 1 where that is done, else as swap.lua says."""
    return Call(_script("compact/swap"), (stream, copied), (BATCH, pages, in_hand))


def schedule(
    source: str,
    parked: str,
    due: str,
    group: str,
    consumer: str,
    entry_id: Field,
    delay: int,
    fields: Sequence[Field],
    *,
    inbox: bool,
) -> Call:
    """Move a pending delivery to the scheduled retries, due in `delay` milliseconds. Reply as in `move`."""
    return Call(_script("move"), (source, parked, due), (group, consumer, entry_id, int(inbox), delay, *fields))


def promote(due: str, parked: str, inbox: str, room: int) -> Call:
    """Move retries that are due into the inbox while it holds fewer than `room`. Reply: see promote.lua."""
    return Call(_script("promote"), (due, parked, inbox), (room, BATCH))


def reschedule(due: str, parked: str, start: Field = "") -> Call:
    """Bring nearer what was parked while the server's clock was ahead. Reply: where to go on, empty for nowhere."""
    return Call(_script("reschedule"), (due, parked), (start, BATCH))


def recover(source: str, inbox: str, group: str, dead: Field, idle: int, line: str) -> Call:
    """Move what consumer `dead` held for `idle` milliseconds into the inbox. Reply: moved, gone, more left."""
    return Call(_script("recover"), (source, inbox), (group, dead, idle, BATCH, int(source == inbox), line))


def mark(inbox: str, group: str, consumer: str, entry_id: Field) -> Call:
    """Record that a suspect is being started. Reply: 1, or 0 if it is not ours any more."""
    return Call(_script("mark"), (inbox,), (group, consumer, entry_id))


def extend(stream: str, group: str, consumer: str, ids: Sequence[Field]) -> Call:
    """Renew the hold on deliveries. Reply: the ids that are not ours any more."""
    return Call(_script("extend"), (stream,), (group, consumer, *ids))


def beat(consumers: str, consumer: str, lease: int, *, judge: bool = True) -> Call:
    """Say that a consumer lives. Reply: with `judge`, those that were silent for longer than `lease` milliseconds."""
    return Call(_script("beat"), (consumers,), (consumer, lease, int(judge)))


def alive(consumers: str, lease: int) -> Call:
    """List the consumers of a subscription that live. Reply: those heard of within `lease` milliseconds."""
    return Call(_script("alive"), (consumers,), (lease,))


def hand_over(
    events: str,
    inbox: str,
    replayed: Sequence[str],
    group: str,
    line: str,
    name: str,
    ttl: int,
    ids: Sequence[Field],
    *,
    renormalise: bool = False,
) -> Call:
    """Copy events into the inbox of a subscription, but not those that a replay of this name has copied before.

    `replayed` remembers them: the hash of this week, kept for `ttl` milliseconds, and those of other weeks. Reply: how
    many were copied, and how many had been before. `renormalise` as in `replay`.
    """
    return Call(_script("hand_over"), (events, inbox, *replayed), (group, line, name, ttl, int(renormalise), *ids))


def hand_back(
    inbox: str,
    replayed: Sequence[str],
    group: str,
    line: str,
    name: str,
    ttl: int,
    events: Sequence[tuple[str, Mapping[bytes, bytes]]],
    *,
    renormalise: bool = False,
) -> Call:
    """Give a subscription events of the archive, each with its entry id and its fields; all else as `hand_over`."""
    rows: list[Field] = []
    for entry_id, fields in events:
        rows += (entry_id, 2 * len(fields), *chain.from_iterable(fields.items()))
    return Call(_script("hand_back"), (inbox, *replayed), (group, line, name, ttl, int(renormalise), *rows))


def pause(pauses: str, halted: str, verb: str, milliseconds: int, by: str, reason: str) -> Call:
    """Pause a subscription for so long (0: for good), or end that with the verb `resume`. Reply: the entry's id."""
    return Call(_script("pause"), (pauses, halted), (verb, milliseconds, by, reason))


def replay(dead: str, inbox: str, ids: Sequence[Field], line: str, *, renormalise: bool = False) -> Call:
    """Move dead letters back into the inbox. Reply: how many were still there to be moved.

    `renormalise`: without the normalised event, which the worker then makes again.
    """
    return Call(_script("replay"), (dead, inbox), (line, int(renormalise), *ids))


def extent(stream: str, first: str, last: str) -> Call:
    """Look where a span of a stream ends now. Reply: the id of its last entry, empty if it has none; XLEN."""
    return Call(_script("extent"), (stream,), (first, last))


def beginning(stream: str, start: str, end: str, *, newest: bool) -> Call:
    """Return with which entry reading from `start` to `end` begins: its id, or nothing; backwards from the newest."""
    return Call(_script("beginning"), (stream,), ("XREVRANGE" if newest else "XRANGE", start, end))


def restore(dead: str, restored: str, letters: Sequence[Sequence[Field]], ttl: int, *, again: bool, dry: bool) -> Call:
    """Put exported dead letters back, each once within `ttl` milliseconds; `letters` as restore.lua says.

    Reply: for each `new`, `there` or `before`.
    """
    rows = [part for letter in letters for part in letter]
    return Call(_script("restore"), (dead, restored), (ttl, int(again), int(dry), *rows))


def pending(source: str, group: str, consumer: str, start: str) -> Call:
    """List what is pending with a consumer, from `start` on. Reply: at most BATCH entry ids."""
    return Call(_script("pending"), (source,), (group, consumer, start, BATCH))


def forget(source: str, group: str, consumer: Field) -> Call:
    """Remove a consumer that holds nothing. Reply: whether it still holds something and stays."""
    return Call(_script("forget"), (source,), (group, consumer))


def lease(key: str, name: str, milliseconds: int) -> Call:
    """Take a lease under a name of its own, or renew it; 0 gives it up. Reply: whether it is (or was) of this name.

    2 where it was nobody's before, and is taken with this.
    """
    return Call(_script("lease"), (key,), (name, milliseconds))


def trim(stream: str, archived: str, window: int, *, only_archived: bool = False, hear: bool = False) -> Call:
    """Remove events that all groups have finished and that are older than `window` milliseconds.

    `archived`: how far the stream is archived. Where that is known no more is removed; with `only_archived` nothing is
    where it is not known. Reply: how many were removed; once it is 0, nothing is left to remove.
    With `hear` below 0 where all is too young: for how many milliseconds still.
    """
    return Call(_script("trim"), (stream, archived), (window, _TRIMMED, int(only_archived), int(hear)))


def discard(stream: str, age: int, count: int) -> Call:
    """Remove entries older than `age` milliseconds, and the oldest of more than `count`; 0 for no limit.

    Reply as in `trim`.
    """
    return Call(_script("discard"), (stream,), (age, count, BATCH))


def remove(events: str, own: Sequence[str], group: str, *, dead_letters: bool) -> Call:
    """Remove a group and its `own` keys, as remove.lua says. Reply: dead letters removed; -1: they forbid it."""
    return Call(_script("remove"), (events, *own), (group, int(dead_letters)))
