"""Whether what webhooks lose is found: what the settings say of each reconciliation."""

from collections.abc import Iterator

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.store.health.judgement import Check
from workers.reconcile.plan import Plan, check_plans

__all__ = ["judge_reconciliations"]


def judge_reconciliations(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Say of each reconciliation whether it is done; nothing where the settings name none."""
    for name, terms in settings.reconcile.items():
        alone = settings.model_copy(update={"reconcile": {name: terms}})
        try:
            [plan] = check_plans(alone, catalogue)
        except ConfigError as error:
            yield Check(f"reconcile {name}", "failed", str(error), "correct that setting: docs/reconcile.md")
        else:
            yield _judge(plan, settings.retention.events)


def _judge(plan: Plan, kept: float) -> Check:
    name, terms, companies = f"reconcile {plan.name}", plan.terms, plan.companies
    if kept < terms.every + terms.overlap:
        found = f"retention.events ({kept:g} s) is shorter than every and overlap ({terms.every + terms.overlap:g} s)"
        return Check(name, "warning", f"{found}: webhooks are forgotten before a sweep looks", "keep events longer")
    if alone := [each.tenant for each in companies if each.company is None]:
        found = f"tenant {', '.join(alone)} without its company: events have another key than those of webhooks"
        return Check(name, "warning", found, "name it as TENANT/COMPANY in companies")
    number = f"{len(companies)} compan{'y' if len(companies) == 1 else 'ies'}"
    return Check(name, "ok", f"{terms.path} of {number} every {terms.every:g} s, as {plan.stream}")
