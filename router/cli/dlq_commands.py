"""The commands on dead letters, each in a module of its own, in the order of the help."""

from router.cli import dlq, dlq_change, dlq_export, dlq_import, dlq_watch

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
