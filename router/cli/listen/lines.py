"""What `listen` prints of each event: what became of it, and its body, by default without the values in it."""

from router.cli.output.results import clean, fields_of, json_line, stamp
from router.cli.output.rows import body_of, event_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.globs import short
from workers.forward.listening import Posted

__all__ = ["as_json_line", "as_text"]


def as_text(catalogue: Catalogue, event: Event, posted: Posted, *, reveal: bool) -> str:
    """Return lines for people: what became of the event, then its body."""
    cells = (short(catalogue, event.stream), event.resource, event.company_id, event.id)
    name, resource, company, id_ = map(clean, cells)
    became = f"{posted.status} in {posted.seconds:.3f} s" if posted.seconds is not None else "no answer"
    lines = [f"{stamp(event.received_at)}  {became:<14}  {name}  {resource}  {company}  {id_}"]
    lines.append(f"    {clean(body_of(event.raw, reveal=reveal))}")
    if posted.error:
        lines.append(f"    {clean(posted.error)}")
    if reveal and posted.answer:
        lines.append(f"    answered: {clean(posted.answer)}")
    return "\n".join(lines)


def as_json_line(event: Event, posted: Posted, *, reveal: bool) -> str:
    """Return a line of JSON: the exchange, and the event under the names of its fields."""
    exchange = fields_of(posted, "status", "seconds", "error")
    answer = {"answer": posted.answer} if reveal else {}
    return json_line({**exchange, **answer, "event": event_json(event, reveal=reveal)})
