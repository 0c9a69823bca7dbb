"""The commands on subscriptions, each in a module of its own, in the order of the help."""

from router.cli import subscriptions, subscriptions_pause, subscriptions_remove

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": subscriptions.list_,
    "pause": subscriptions_pause.pause,
    "resume": subscriptions_pause.resume,
    "remove": subscriptions_remove.remove,
}
