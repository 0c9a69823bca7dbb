"""What `doctor` says of reconciliations."""

from typing import Any

import pytest

from config.erp import ErpSettings
from config.reconcile import ReconcileSettings
from config.settings import RetentionSettings, Settings
from router.cli.doctor.reconcile_checks import judge_reconciliations
from router.events.catalogue import Catalogue

ERP = ErpSettings.model_validate(
    {"base_url": "https://erp.example/", "client_id": "c", "client_secret": "s", "tenant_id": "t1"}
)


@pytest.mark.parametrize(
    ("terms", "kept", "state", "said"),
    [
        ({"companies": ["t1/7", "t2/8"]}, 604800, "ok", "v1/customer of 2 companies every 3600 s"),
        ({"companies": ["t1"]}, 604800, "warning", "tenant t1 without its company"),
        ({}, 604800, "warning", "tenant t1 without its company"),
        ({"companies": ["t1/7"]}, 4000, "warning", "retention.events (4000 s) is shorter"),
        ({"event": "x"}, 604800, "failed", "'x' is no event"),
        ({"publisher": "business-nxt"}, 604800, "failed", "publisher business-nxt is off"),
    ],
)
def test_judgement(catalogue: Catalogue, terms: dict[str, Any], kept: float, state: str, said: str) -> None:
    """Each is judged by its settings: what it does, or why it does not."""
    settings = Settings(
        erp={"visma-net-financial": ERP},
        retention=RetentionSettings(events=kept),
        reconcile={"customers": ReconcileSettings(path="v1/customer", **terms)},
    )
    [check] = judge_reconciliations(settings, Catalogue.for_settings(settings))
    assert (check.name, check.state) == ("reconcile customers", state)
    assert said in check.detail


def test_an_erp_that_is_off(catalogue: Catalogue) -> None:
    """A reconciliation without its ERP says what to set; without any reconciliation nothing is said."""
    settings = Settings(reconcile={"customers": ReconcileSettings(path="v1/customer", companies=("t1/7",))})
    [check] = judge_reconciliations(settings, catalogue)
    assert "ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL" in check.detail
    assert list(judge_reconciliations(Settings(), catalogue)) == []
