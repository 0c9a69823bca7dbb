"""Whether records can be fetched: what the settings say of each ERP, and whether its client gets a token."""

import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from config.erp import ErpSettings
from config.settings import Settings, fold_slug
from router.events.catalogue import Catalogue
from router.store.health.judgement import Check
from workers.erp.errors import ErpError
from workers.erp.tokens import Tokens
from workers.erp.transport import open_transport

__all__ = ["judge_erps", "try_erps"]


def judge_erps(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Say of each ERP that the settings name whether records are fetched from it; nothing where they name none."""
    known = {fold_slug(slug): slug for slug in catalogue.publishers}
    for folded, erp in settings.erp.items():
        name = f"erp of {known.get(folded, folded)}"
        if folded not in known:
            advice = f"name one of {', '.join(catalogue.publishers)}"
            yield Check(name, "warning", "no publisher of that name is in the catalogue", advice)
        elif erp.missing:
            section = f"ROUTER_ERP__{folded.upper()}__"
            names = ", ".join(section + missing.upper() for missing in erp.missing)
            yield Check(name, "failed", f"off: {', '.join(erp.missing)} not set", f"set {names}")
        else:
            yield _judge_set(name, erp)


def _judge_set(name: str, erp: ErpSettings) -> Check:
    if erp.in_clear:
        detail = f"{' and '.join(erp.in_clear)} without encryption: secret, tokens and records can be read on the way"
        return Check(name, "warning", detail, "write https://")
    reads = "; its scope is for reading, not for writes and feedback" if erp.only_reads else ""
    return Check(name, "ok", f"records of {urlsplit(erp.base_url).hostname}, as client {erp.client_id}{reads}")


async def try_erps(settings: Settings) -> AsyncIterator[Check]:
    """Ask for a token for each tenant that the settings name; an ERP of many tenants names none, and is not asked."""
    for folded, erp in settings.erp.items():
        if erp.missing or not erp.tenant_id:
            continue
        name = f"token of {folded.replace('_', '-')}"
        async with open_transport(erp) as transport:
            try:
                await Tokens(erp, transport, time.monotonic).get(erp.tenant_id)
            except ErpError as error:
                yield Check(name, "failed", str(error), "correct the settings of that erp, or see whether it is up")
            else:
                yield Check(name, "ok", f"given for tenant {erp.tenant_id}")
