"""One signed sample of a forward's events, sent to its receiver and shown: without the store, and without a retry."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.forward import ForwardSettings
from router.events.event import Event
from workers.delivery import Delivery
from workers.forward.answer import answer_text
from workers.forward.making import target_of
from workers.forward.message import message
from workers.outgoing import Outgoing, OutgoingError, signed

__all__ = ["Trial", "try_forward"]

_SHOWN = 8
"""Characters of a signature that are shown; of the headers of the settings none are."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was sent and what came back; `error` says why there is no answer, and `status` is None then.

    seconds: how long it took. address: which was connected to, empty where none was. body, answer: texts of both.
    """

    forward: str
    url: str
    stream: str
    id: str
    sent: Mapping[str, str]
    body: str
    status: int | None
    headers: Mapping[str, str]
    answer: str
    seconds: float
    address: str
    error: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver took it: a status from 200 to 299."""
        return self.status in range(200, 300)


async def try_forward(
    forward: ForwardSettings,
    event: Event,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Trial:
    """Send an event as the forward would, and return what came of it; raises ConfigError.

    `clock` in epoch seconds, `monotonic` in seconds.
    """
    sample = message(Delivery(event, forward.name), forward.format)
    secrets = [secret.get_secret_value() for secret in forward.secrets]
    own = {name: value.get_secret_value() for name, value in forward.headers.items()}
    signature = signed(secrets, sample.id, int(clock()), sample.body)
    began = monotonic()
    async with Outgoing(target_of(forward)) as outgoing:
        about = (forward.name, outgoing.shown, event.stream, sample.id)
        sent = {**dict.fromkeys(own, "…"), **sample.headers, **signature, **_cut(signature)}
        said = (*about, sent, sample.body.decode(errors="backslashreplace"))
        try:
            found = await outgoing.post(sample.body, {**own, **sample.headers, **signature})
        except OutgoingError as error:
            return Trial(*said, None, {}, "", monotonic() - began, "", f"{type(error).__name__}: {error}")
    unsaid = (*secrets, *own.values(), *(one.partition(",")[2] for one in signature["webhook-signature"].split()))
    headers = {name: answer_text(value.encode(errors="replace"), unsaid) for name, value in found.headers.items()}
    return Trial(*said, found.status, headers, answer_text(found.answer, unsaid), found.seconds, found.address)


def _cut(signature: Mapping[str, str]) -> dict[str, str]:
    """Return the header of the signatures with the beginning of each."""
    each = (one.partition(",") for one in signature["webhook-signature"].split())
    return {"webhook-signature": " ".join(f"{version},{text[:_SHOWN]}…" for version, _, text in each)}
