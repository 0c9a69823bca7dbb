"""The consumer groups of a subscription: made at the earliest entry, made again when the server lost them."""

from redis.exceptions import ResponseError

from workers.context import Context

__all__ = ["NO_GROUP", "ensure_groups", "is_no_group"]

NO_GROUP = ("NOGROUP", "UNBLOCKED", "no longer exists", "requires the key to exist", "No such key", "no such key")
"""How the texts of the errors begin, or what they contain, when the group or its stream is not there (any more)."""


def is_no_group(error: object) -> bool:
    """Return whether a reply says that the consumer group, or its stream, does not exist."""
    return isinstance(error, ResponseError) and any(text in str(error) for text in NO_GROUP)


async def ensure_groups(context: Context, start: str = "earliest") -> int:
    """Make the groups that are missing on every stream and inbox of the subscription; return how many were made.

    An inbox always starts at its earliest entry, and so does a group that has to be made again (`start="earliest"`):
    what was delivered before comes once more, since what had been finished is not known any more.
    """
    commands = []
    for _, inbox, key in context.sources():
        first = "$" if start == "latest" and not inbox else "0"
        commands.append(("XGROUP", "CREATE", key, context.group, first, "MKSTREAM"))
    made = 0
    for reply in await context.store.commands(commands):
        if not isinstance(reply, BaseException):
            made += 1
        elif not (isinstance(reply, ResponseError) and "BUSYGROUP" in str(reply)):
            raise reply
    return made
