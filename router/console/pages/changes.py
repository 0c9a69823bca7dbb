"""Changing dead letters or what is quarantined: a look at what a form selects, a yes, and how far the change is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from router.console.forms import Unclear, line_in, typed_in
from router.console.jobs import Job
from router.console.page import Page, command, go
from router.console.pages import dead_letters, keys, quarantine
from router.events.globs import short
from router.http.response import Response
from workers.operations.change import Change

_REASON = 500  # characters
_FASTEST = 100_000.0
_SAMPLE = 8
_PATIENCE = 20.0  # seconds for counting
_SETTLED = 1.5  # seconds to wait for a short change, so that its page says how it ended


@dataclass(frozen=True, slots=True)
class Order:
    """What a form asks for: the change, what was typed into the fields, since when, and which items were ticked."""

    verb: str
    change: Change[Any]
    typed: Mapping[str, str]
    since: datetime | None
    picks: frozenset[dead_letters.Picked] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be changed: where its list is, and each verb with what it has `done` in the end.

    order: reads a form; raises RouterError where it is not clear.
    """

    path: str
    what: str
    template: str
    done: Mapping[str, str]
    order: Callable[[Page, str], Order]


async def _preview(kind: Kind, page: Page) -> Response:
    """Count what is selected and show some of it; nothing is changed yet."""
    order = _order(kind, page)
    seen = await order.change.preview(_SAMPLE, _PATIENCE)
    return page.answer(
        kind.template,
        action=f"{kind.path}/change",
        verb=order.verb,
        seen=seen,
        filters=order.change.filters,
        typed=order.typed,
        renormalise=_renormalises(page),
        picks=sorted(" ".join(pick) for pick in order.picks),
        until=seen.until.isoformat() if seen.until else "",
        since=order.since.isoformat() if order.since else "",
        away=await page.console.operations.without_worker(seen.subscriptions),
        back=_back(kind, order.typed),
        letter_url=dead_letters.letter_url,
        entry_url=quarantine.entry_url,
        type_of=partial(short, page.console.catalogue),
    )


async def _carry(kind: Kind, page: Page) -> Response:
    """Begin the change, and go to the page that says how far it is."""
    sent, console = page.request.form, page.console
    order = _order(kind, page)
    rate, reason = _rate(str(sent.get("rate", "")).strip()), line_in(sent, "reason", _REASON)
    typed = {name: text for name, text in order.typed.items() if name != "until"}  # the end that the preview had
    title = f"{order.verb.capitalize()} {kind.what}"
    work = partial(order.change.run, actor=page.session.actor, reason=reason, rate=rate)
    job = console.jobs.start(Job(title, kind.done[order.verb], _back(kind, typed), order.change.result), work)
    await console.jobs.settle(job, _SETTLED)
    console.watch.forget()
    return go("/job", id=job.id)


async def show_job(page: Page) -> Response:
    """Tell how far a change is."""
    found = page.console.jobs.find(page.request.query.get("id", ""))
    if found is None:
        return _forgotten(page)
    return page.answer("job.html", job=found, doctor=command("doctor"), audit=command("audit", "--since", "1d"))


def _forgotten(page: Page) -> Response:
    text = f"No change {page.request.query.get('id', '')} is known here."
    do = (
        "The console was started again since, which stops a change where it is, or many others came after it. The "
        "audit has how far it came; what is left is in its list still, and repeating it is safe."
    )
    shown = command("audit", "--since", "1d")
    return page.problem("Gone", text, status=404, do=do, command=shown, back="/audit")


async def stop_job(page: Page) -> Response:
    """Stop a change where it is."""
    id_ = str(page.request.form.get("id", ""))
    await page.console.jobs.stop(id_)
    return go("/job", id=id_)


def _order(kind: Kind, page: Page) -> Order:
    """Return what the form asks for; raises RouterError where that is not clear."""
    verb = str(page.request.form.get("verb", ""))
    if verb not in kind.done:
        raise Unclear(f"{verb!r} is no change of {kind.what}: choose whether to {' or to '.join(kind.done)}.")
    return kind.order(page, verb)


def _of_letters(page: Page, verb: str) -> Order:
    """Change the letters selected, or only those picked: then no more is read than they need."""
    sent, operations = page.request.form, page.console.operations
    typed = typed_in(sent, dead_letters.FIELDS)
    selector, picked = dead_letters.selector_of(page, typed), _picked(sent)
    if sent.get("which") != "all" and not picked:
        raise Unclear("Nothing is chosen: tick letters, or take all that match.")
    if sent.get("which") == "all" and verb == "purge" and not typed:
        raise Unclear("Purging takes a filter: it never removes everything.")
    replay = partial(operations.replay_dead_letters, renormalise=_renormalises(page))
    make = operations.purge_dead_letters if verb == "purge" else replay
    narrowed = selector.narrowed(*(entry_id for entry_id, _, _ in picked))
    change = make(narrowed, where=(lambda letter: dead_letters.key_of(letter) in picked) if picked else None)
    return Order(verb, change, typed, selector.since, picked)


def _of_quarantined(page: Page, verb: str) -> Order:
    typed = typed_in(page.request.form, quarantine.FIELDS)
    selector, operations = quarantine.selector_of(page, typed), page.console.operations
    if verb == "purge" and selector.is_empty:
        raise Unclear("Purging takes a filter: it never removes everything.")
    make = operations.purge_quarantined if verb == "purge" else operations.retry_quarantined
    return Order(verb, make(selector), typed, selector.since)


def _of_keys(page: Page, verb: str) -> Order:
    typed, operations = typed_in(page.request.form, keys.FIELDS), page.console.operations
    name, selector = keys.subscription_in(typed), keys.selector_of(typed)
    if verb == "skip" and selector.is_empty:
        raise Unclear("Skipping takes a filter: it never skips an event of every key.")
    make = operations.skip_keys if verb == "skip" else operations.release_keys
    return Order(verb, make(name, selector), typed, None)


def _renormalises(page: Page) -> bool:
    return page.request.form.get("renormalise", "") == "true"


def _picked(sent: Any) -> frozenset[dead_letters.Picked]:
    picks = [str(value).split(" ", 2) for value in sent.all("pick")]
    return frozenset((pick[0], pick[1], pick[2]) for pick in picks if len(pick) == 3)  # noqa: PLR2004 - its parts


def _rate(text: str) -> float | None:
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.01 <= rate <= _FASTEST:  # noqa: PLR2004 - as on the command line
        raise Unclear(f"{text!r} is no rate: write how many a second, such as 10")
    return rate


def _back(kind: Kind, typed: Mapping[str, str]) -> str:
    kept = {name: text for name, text in typed.items() if name != "id"}
    return f"{kind.path}?{urlencode(kept)}" if kept else kind.path


_REPLAYS = {"replay": "replayed", "purge": "purged"}
_RETRIES = {"retry": "stored", "purge": "purged"}
_LETTERS: Final = Kind("/dead-letters", "dead letters", "dead_letters_preview.html", _REPLAYS, _of_letters)
_BODIES: Final = Kind("/quarantine", "what is quarantined", "quarantine_preview.html", _RETRIES, _of_quarantined)
_KEYS: Final = Kind("/keys", "keys", "keys_preview.html", {"release": "released", "skip": "skipped"}, _of_keys)

preview_letters, change_letters = partial(_preview, _LETTERS), partial(_carry, _LETTERS)
preview_quarantined, change_quarantined = partial(_preview, _BODIES), partial(_carry, _BODIES)
preview_keys, change_keys = partial(_preview, _KEYS), partial(_carry, _KEYS)
