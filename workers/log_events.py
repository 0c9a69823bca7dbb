"""Ready to use: prints one readable line for every event of every publisher."""

import sys

from workers import Event, Subscription

__all__ = ["events", "line"]

events = Subscription("log-events", events=["*"], concurrency=1)


@events.handler
async def log(event: Event) -> None:
    """Print the event; flushed, so that it shows at once in a pipe or a container's log too."""
    sys.stdout.write(line(event) + "\n")
    sys.stdout.flush()


def line(event: Event) -> str:
    """Return an event's time, stream, resource, company, action and id; `-` stands for what the sender did not say."""
    time = (event.occurred_at or event.received_at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    company = f"company={event.company_id}" if event.company_id else None
    parts = (time, event.stream, event.resource, company, event.action, event.id)
    return " ".join(_printable(part) for part in parts)


def _printable(text: str | None) -> str:
    """Keep what a sender wrote from breaking the line or commanding the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text or "-")
