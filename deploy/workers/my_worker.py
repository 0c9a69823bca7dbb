"""The worker that compose.yaml runs until you put your own in its place: it says what came.

docs/workers.md has all that a subscription can do, and docs/deploy.md how workers are started with what you wrote.
"""

import logging

from workers import Event, Subscription

everything = Subscription("everything", events=["*"])


@everything.handler
async def handle(event: Event) -> None:
    """Do here what is to be done, in a way that may be done twice: `event.id` stays the same."""
    logging.getLogger("my_worker").warning("%s %s of company %s", event.type, event.resource, event.company_id)
