"""The comparison for keyed subscriptions: besides what holds for all, one at a time, in order, merged and limited."""

from collections.abc import Collection, Sequence

from faults.happening import Explainer
from faults.ledger import Handling
from faults.load import Journal
from faults.order import Account, Rules, account, crowds, inversions, overlaps
from faults.stored import Stored
from faults.turns import Turn
from faults.verdict import Double, Verdict

__all__ = ["judge"]


def judge(
    verdict: Verdict,
    subscription: str,
    turns: Sequence[Turn],
    rules: Rules,
    *,
    journal: Journal,
    stored: Stored,
    explainer: Explainer,
    since: float = 0.0,
) -> None:
    """Add to a verdict what one keyed subscription did wrong; what was first sent before `since` need not be whole."""
    turns = [turn for turn in turns if turn.start >= since]
    dead = stored.dead[subscription].keys()

    def redelivered(id_: str, first: Handling, again: Handling) -> str | None:
        return explainer(Double(subscription, journal.sent[id_].stream, id_, first, again))

    found, excused = overlaps(turns, explainer.fenced)
    verdict.note(f"two at once of a key with {subscription}", found)
    verdict.note(f"out of order with {subscription}", inversions(turns, stored.places, dead, redelivered))
    if rules.per_company:
        wrong = f"more than {rules.per_company} at once of a company with {subscription}"
        verdict.note(wrong, crowds(turns, rules.per_company, explainer.fenced))
    due = {id_ for id_, sent in journal.first_sent.items() if id_ in journal.acknowledged and sent >= since}
    ends = account(turns, dead)
    _merged(verdict, subscription, rules, stored, turns)
    twice = [id_ for id_, first, again in ends.buried_and_handled if not redelivered(id_, first, again)]
    verdict.note(f"handled and dead with {subscription}", twice)
    _add_up(verdict, subscription, ends, due)
    verdict.totals |= {f"turns of {subscription}": len(turns), f"{subscription}: two at once, fenced off": excused}


def _merged(verdict: Verdict, subscription: str, rules: Rules, stored: Stored, turns: Sequence[Turn]) -> None:
    merged = {id_ for turn in turns for id_ in turn.ids[:-1]} | stored.dead_with.get(subscription, set())
    verdict.note(f"merged by {subscription}, never to be", merged & stored.kept if rules.merges else merged)


def _add_up(verdict: Verdict, subscription: str, ends: Account, due: Collection[str]) -> None:
    """Note what is missing where done, merged and dead together are not all that was accepted."""
    missing = set(due) - ends.done - ends.merged - ends.dead
    verdict.note(f"neither done nor merged nor dead with {subscription}", missing)
    verdict.totals |= {
        f"{subscription}: done": len(ends.done & due),
        f"{subscription}: merged": len(ends.merged & due),
        f"{subscription}: dead": len(ends.dead & due),
    }
