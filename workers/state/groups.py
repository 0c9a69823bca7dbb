"""The consumer groups of a subscription: made at the earliest entry, made again when the server lost them."""

from router.store.errors import is_refusal, is_spoilt
from workers.consuming.context import Context

__all__ = ["ensure_groups", "name_of", "raw_of"]


def name_of(raw: bytes) -> str:
    """Return the name of a consumer or group; bytes that are no text, which a hand wrote, come back by `raw_of`."""
    return raw.decode(errors="surrogateescape")


def raw_of(name: str) -> bytes:
    """Return a name as the server has it."""
    return name.encode(errors="surrogateescape")


async def ensure_groups(context: Context, start: str = "earliest") -> int:
    """Make the groups that are missing on every stream and inbox of the subscription; return how many were made.

    An inbox always starts at its earliest entry, and so does a group that has to be made again (`start="earliest"`):
    what was delivered before comes once more, since what had been finished is not known any more. Keys that hold
    something else than a stream are noted in `context.spoilt`, and the others do without them.
    """
    commands = []
    for _, inbox, key in context.sources():
        first = "$" if start == "latest" and not inbox else "0"
        commands.append(("XGROUP", "CREATE", key, context.group, first, "MKSTREAM"))
    made, spoilt = 0, set()
    for (_, _, key, *_), reply in zip(commands, await context.store.commands(commands), strict=True):
        if not isinstance(reply, BaseException):
            made += 1
        elif is_spoilt(reply):
            spoilt.add(key)
        elif not (is_refusal(reply) and "BUSYGROUP" in str(reply)):
            raise reply
    if spoilt:
        context.log.error("keys_of_another_type", keys=sorted(spoilt), advice="rename or delete them")
    context.spoilt = spoilt
    return made
