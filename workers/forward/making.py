"""What a forward is made of, by its settings: a subscription, a target, a limit and a breaker. All faults name it."""

from config.errors import ConfigError
from config.forward import ForwardSettings
from config.settings import Settings
from router.events.catalogue import Catalogue, UnknownStream
from workers.breakers import Breaker
from workers.breakers.eased import EasedBreaker
from workers.coalesce import Coalesce
from workers.limits.limit import Limit
from workers.outgoing import Outgoing, Target
from workers.retry import Retry
from workers.service import check_records
from workers.state.forwards import BREAKER
from workers.subscription import Subscription

__all__ = ["breaker_of", "check_forwards", "is_same_subscription", "limit_of", "subscription_of", "target_of"]

_MARGIN = 10.0
"""Seconds beside an exchange, for the questions to the store before and after it."""

_OF_RECEIVER = frozenset(
    {"url", "secrets", "format", "headers", "limit", "breaker", "allow_private", "ca_file", "client_cert", "client_key"}
)
"""What may change while a subscription goes on."""


def check_forwards(settings: Settings, catalogue: Catalogue) -> list[Subscription]:
    """Return the subscriptions of all forwards; raises ConfigError, which names the forward that cannot be."""
    found = [check(forward, catalogue) for forward in settings.forward]
    for subscription in found:
        try:
            check_records(settings, [subscription], catalogue)
        except ConfigError as error:
            raise _named(subscription.name, error) from None
    return found


def check(forward: ForwardSettings, catalogue: Catalogue) -> Subscription:
    """Return the subscription of a forward; raises ConfigError where it, its events or its target cannot be."""
    try:
        subscription = subscription_of(forward)
        catalogue.select(*subscription.events)
        Outgoing(target_of(forward))
        limit_of(forward), breaker_of(forward)
    except (ConfigError, UnknownStream) as error:
        raise _named(forward.name, error) from None
    return subscription


def _named(name: str, error: ConfigError | UnknownStream) -> ConfigError:
    """Return an error that says which forward it is about."""
    return ConfigError(f"forward {name!r}: {str(error).removeprefix(f'subscription {name!r}: ')}")


def subscription_of(forward: ForwardSettings) -> Subscription:
    """Return the subscription, which has no handler yet; raises ConfigError."""
    merging = forward.coalesce
    return Subscription(
        forward.name,
        events=forward.events,
        where=forward.where or None,
        retry=Retry(**forward.retry.model_dump()),
        concurrency=forward.concurrency,
        timeout=forward.timeout + _MARGIN,
        start=forward.start,
        key=forward.key,
        coalesce=None if merging is None else Coalesce(**merging.model_dump()),
        after_dead=forward.after_dead,
        per_company=forward.per_company,
        fair_by=forward.fair_by,
        defer_max=forward.defer_max,
        feedback=forward.feedback,
    )


def target_of(forward: ForwardSettings) -> Target:
    """Return where it is sent, over as many connections as events are under way at once."""
    return Target(
        forward.url,
        timeout=forward.timeout,
        allow_private=forward.allow_private,
        ca_file=forward.ca_file,
        client_cert=forward.client_cert,
        client_key=forward.client_key,
        connections=forward.concurrency,
    )


def limit_of(forward: ForwardSettings) -> Limit | None:
    """Return the limit, which has the forward's name unless it has one of its own; raises ConfigError."""
    if (terms := forward.limit) is None:
        return None
    given = terms.model_dump(exclude={"name", "headers"})
    return Limit(terms.name or forward.name, headers=terms.headers or None, **given)


def breaker_of(forward: ForwardSettings) -> Breaker | None:
    """Return the breaker; raises ConfigError."""
    terms = forward.breaker
    return None if terms is None else EasedBreaker(f"{BREAKER}{forward.name}", **terms.model_dump())


def is_same_subscription(one: ForwardSettings, other: ForwardSettings) -> bool:
    """Return whether two forwards differ at most in what a running subscription can take over."""
    return one.model_dump(exclude=set(_OF_RECEIVER)) == other.model_dump(exclude=set(_OF_RECEIVER))
