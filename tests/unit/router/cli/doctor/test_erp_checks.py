"""What `doctor` says of the ERPs that the settings name."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from support.cli import Cli
from support.erp import SLUG, TENANT, erp_settings

from config.erp import ErpSettings
from config.settings import Settings
from router.cli.doctor.erp_checks import judge_erps, try_erps
from router.events.catalogue import Catalogue
from workers.erp.fake import FakeErp, Options, serving

SET = {"base_url": "https://erp.example/x", "client_id": "c1", "client_secret": SecretStr("s3cret")}


@pytest.fixture
async def erp() -> AsyncIterator[FakeErp]:
    """Yield a fake ERP that serves."""
    async with serving(FakeErp(Options(clients={"c1": "s3cret"}))) as found:
        yield found


@pytest.mark.parametrize(
    ("slug", "values", "state", "text"),
    [
        (SLUG, SET, "ok", "records of erp.example, as client c1; its scope is for reading"),
        (SLUG, SET | {"scope": "erp:read erp:update"}, "ok", "records of erp.example, as client c1"),
        (SLUG, {"base_url": "https://erp.example"}, "failed", "off: client_id, client_secret not set"),
        (SLUG, {"client_secret": SecretStr("s3cret")}, "failed", "off: base_url, client_id not set"),
        (SLUG, SET | {"base_url": "http://erp.example"}, "warning", "base_url without encryption"),
        (SLUG, SET | {"token_url": "http://erp.example/t"}, "warning", "token_url without encryption"),
        (SLUG, SET | {"base_url": "http://127.0.0.1:9"}, "ok", "records of 127.0.0.1"),
        ("visma-net-financal", SET, "warning", "no publisher of that name"),
    ],
)
def test_what_is_wrong_with_an_erp(
    catalogue: Catalogue, slug: str, values: dict[str, object], state: str, text: str
) -> None:
    """Each setting that is missing or careless is named, with what to set; no secret is shown."""
    (check,) = judge_erps(Settings(erp={slug: ErpSettings(**values)}), catalogue)  # type: ignore[arg-type]
    assert check.state == state
    assert text in check.detail
    assert ("its scope is for reading" in check.detail) == (state == "ok" and "scope" not in values)
    assert bool(check.advice) == (state != "ok")
    assert "s3cret" not in repr(check)


def test_no_erp_is_no_finding(catalogue: Catalogue) -> None:
    """Who fetches no records hears nothing of it."""
    assert list(judge_erps(Settings(), catalogue)) == []


async def test_a_token_is_asked_for(erp: FakeErp) -> None:
    """Where the settings name the tenant, the client is tried; a wrong secret and a server that is away are said."""
    right = erp_settings(erp, tenant_id=TENANT)
    assert [(check.state, check.detail) async for check in try_erps(right)] == [("ok", "given for tenant t1")]
    wrong = erp_settings(erp, tenant_id=TENANT, client_secret="another")
    assert [(check.state, "invalid_client" in check.detail) async for check in try_erps(wrong)] == [("failed", True)]
    away = erp_settings(erp, tenant_id=TENANT, token_url="http://127.0.0.1:1/")
    assert ["Cannot connect" in check.detail async for check in try_erps(away)] == [True]
    assert [check async for check in try_erps(erp_settings(erp))] == []


def test_doctor_lists_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command has the checks of the ERP among its own."""
    monkeypatch.setenv("ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_ID", "c1")
    checks = {check["name"]: check for check in cli.json("doctor", code=1)["checks"]}
    assert checks[f"erp of {SLUG}"]["state"] == "failed"
    assert "ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_SECRET" in checks[f"erp of {SLUG}"]["advice"]
