"""The commands on subscriptions, each in a module of its own, in the order of the help."""

from router.cli.subscriptions import listing as subscriptions
from router.cli.subscriptions import pause as subscriptions_pause
from router.cli.subscriptions import remove as subscriptions_remove

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": subscriptions.list_,
    "pause": subscriptions_pause.pause,
    "resume": subscriptions_pause.resume,
    "remove": subscriptions_remove.remove,
}
