"""The commands on dead letters, each in a module of its own, in the order of the help."""

from router.cli.dead_letters import change as dlq_change
from router.cli.dead_letters import export as dlq_export
from router.cli.dead_letters import reading as dlq
from router.cli.dead_letters import restore as dlq_import
from router.cli.dead_letters import watch as dlq_watch

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": dlq.list_,
    "stats": dlq.stats,
    "show": dlq.show,
    "replay": dlq_change.replay,
    "purge": dlq_change.purge,
    "export": dlq_export.export,
    "import": dlq_import.import_,
    "watch": dlq_watch.watch_,
}
