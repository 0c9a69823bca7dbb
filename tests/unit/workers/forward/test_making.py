"""What a forward is made of: its subscription has every option that its settings offer."""

import inspect
from dataclasses import asdict, is_dataclass
from typing import Any, Final

import pytest
from pydantic import BaseModel
from support.forwarding import forward_settings
from support.receiver import OK, Receiver

from config.forward import BreakerTerms, CoalesceTerms, ForwardSettings, LimitTerms, RetryTerms
from workers import Retry, Subscription
from workers.breakers import Breaker
from workers.coalesce import Coalesce
from workers.forward.making import subscription_of
from workers.limits.limit import Limit

LEFT_OUT: Final = {
    "batch_size": "a request posts one event, and its answer is the outcome of that event",
    "batch_wait": "likewise: nothing waits for more events where each is posted alone",
    "hydrate": "a record never goes to Redis, where the history keeps answers, which may repeat what was posted",
    "echo": "that takes hydrate, and writes through the ERP client of a worker: those of a receiver are unknown here",
}
"""Options of a subscription that a forward does not have, and why."""

CHOSEN: Final[dict[str, Any]] = {
    "name": "other",
    "events": ("visma-net-financial/supplier_*",),
    "where": {"company_id": "51"},
    "retry": {"max_attempts": 5, "first_delay": 1.5, "max_delay": 7.0},
    "concurrency": 3,
    "timeout": 4.0,
    "start": "latest",
    "key": "company",
    "coalesce": {"quiet": 1.0, "within": 9.0, "keep": ("created",), "most": 8},
    "after_dead": "hold",
    "per_company": 2,
    "fair_by": "company",
    "defer_max": 60.0,
    "feedback": True,
}
"""A value for each option that a forward has: none is the default, but for `fair_by`, which `per_company` rests on."""


def options(of: type = Subscription) -> set[str]:
    """Return the options of a subscription, or of what it takes."""
    return set(inspect.signature(of).parameters)


def plain(value: Any) -> Any:
    """Return the value of an option as the settings have it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: each for name, each in asdict(value).items() if name != "never"}
    return getattr(value, "conditions", value)


def test_all_options_of_a_subscription() -> None:
    """A forward can be set whatever a subscription can, besides what is left out here for a reason."""
    assert options() - set(ForwardSettings.model_fields) == set(LEFT_OUT)


@pytest.mark.parametrize(
    ("of", "terms", "left_out"),
    [
        (Coalesce, CoalesceTerms, set()),
        (Limit, LimitTerms, set()),
        (Retry, RetryTerms, {"never"}),  # classes of exceptions, which the settings cannot name
        (Breaker, BreakerTerms, {"failed_by", "name"}),  # likewise; and it has the name of its forward
    ],
)
def test_all_terms(of: type, terms: type[BaseModel], left_out: set[str]) -> None:
    """Likewise of the tables within: merging, limit, retry and breaker have what they have in Python."""
    assert options(of) - set(terms.model_fields) == left_out


def test_the_defaults_of_a_subscription() -> None:
    """An option that the settings of a forward leave out is as it is by default in Python."""
    receiver = Receiver(OK, port=1)
    plainly = Subscription("crm", events=["*"])
    made = subscription_of(ForwardSettings.model_validate({**_least(receiver), "breaker": False}))
    differ = {name for name in options() - {"name", "events"} if getattr(made, name) != getattr(plainly, name)}
    assert differ == {"timeout"}  # the exchange has that time, and its attempt a margin beside it
    assert ForwardSettings().timeout == plainly.timeout


def test_each_option_reaches_the_subscription() -> None:
    """What is set for a forward is what its subscription has."""
    assert set(CHOSEN) == options() - set(LEFT_OUT)
    made = subscription_of(forward_settings(Receiver(OK, port=1), **CHOSEN))
    found = {name: plain(getattr(made, name)) for name in CHOSEN}
    assert found.pop("timeout") > CHOSEN["timeout"]
    assert found == {name: value for name, value in CHOSEN.items() if name != "timeout"}


def _least(receiver: Receiver) -> dict[str, Any]:
    """Return the settings of a forward without those of its subscription that have a default."""
    kept = set(ForwardSettings.model_fields) - options()
    given = forward_settings(receiver).model_dump()
    return {name: value for name, value in given.items() if name in kept | {"name", "events"}}
