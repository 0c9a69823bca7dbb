"""An ERP that is reached through a proxy: the one of the settings, and no other."""

from base64 import b64encode

import pytest
from pydantic import ValidationError
from support.erp import TENANT, customer_event, erp_settings
from support.proxy import proxying

from config.erp import ErpSettings
from workers.erp import ErpUnavailable, erp_for, open_clients
from workers.erp.fake import FakeErp

PATH = "v1/customer/1"


async def test_all_goes_through_the_proxy(erp: FakeErp) -> None:
    """Tokens and records are asked for through the proxy, as the user that stands in its address."""
    erp.books(TENANT).put(PATH, {"name": "Ada"})
    async with proxying() as proxy:
        settings = erp_settings(erp, proxy=f"http://jo:s3same@127.0.0.1:{proxy.port}")
        async with open_clients(settings), erp_for(customer_event()) as found:
            record = await found.get(PATH)
    assert record.body == {"name": "Ada"}
    token, fetch = proxy.lines
    assert token.startswith(f"POST {erp.token_url} ")
    assert fetch.startswith(f"GET {erp.base_url}{PATH} ")
    assert proxy.credentials == {f"Basic {b64encode(b'jo:s3same').decode()}"}
    assert "s3same" not in repr(settings)


@pytest.mark.parametrize("base", [None, "https://erp.example/"])
async def test_a_proxy_that_refuses(erp: FakeErp, base: str | None) -> None:
    """A proxy that wants another user counts as an ERP that cannot be reached; no message has the password."""
    async with proxying() as proxy:
        proxy.refuses = True
        bases = {"base_url": base, "token_url": f"{base}token"} if base else {}
        settings = erp_settings(erp, proxy=f"http://jo:s3same@127.0.0.1:{proxy.port}", **bases)
        async with open_clients(settings), erp_for(customer_event()) as found:
            with pytest.raises(ErpUnavailable, match="407") as raised:
                await found.get(PATH)
    assert "s3same" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert proxy.lines[0].startswith("CONNECT erp.example:443" if base else "POST ")


async def test_proxies_of_the_environment_are_ignored(erp: FakeErp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is meant for other programs leads no token elsewhere."""
    async with proxying() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with open_clients(erp_settings(erp)), erp_for(customer_event()) as found:
            assert (await found.get(PATH)).gone
    assert proxy.lines == []


@pytest.mark.parametrize(
    "proxy", ["proxy:3128", "socks5://p:1", "http://", "http://p:1/path", "http://p:0", "http://p:x"]
)
def test_what_is_no_proxy(proxy: str) -> None:
    """What cannot be a proxy is refused, and not shown: it may hold a password."""
    with pytest.raises(ValidationError, match="must be a proxy such as"):
        ErpSettings(proxy=proxy)
    assert ErpSettings(proxy="").proxy is None
