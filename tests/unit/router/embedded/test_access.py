"""Opening the store that the settings name."""

from pathlib import Path

import pytest

from config.settings import Settings
from router.embedded.access import NoData, open_store


async def test_only_looking_makes_nothing(tmp_path: Path) -> None:
    """Without `create` a folder in which no server ever wrote is left as it is, and is named in full."""
    for made in (None, "redis", "redis/server.log"):
        if made:
            (tmp_path / made).mkdir()
        with pytest.raises(NoData) as caught:
            async with open_store(Settings(data_dir=tmp_path), create=False):
                pass
        assert caught.value.what == f"no data in {tmp_path}"
        assert "ROUTER_DATA_DIR" in str(caught.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["redis", "server.log"]


@pytest.mark.real
async def test_data_without_a_server(tmp_path: Path) -> None:
    """Where there is data, a server is started for as long as somebody looks."""
    settings = Settings(data_dir=tmp_path)
    async with open_store(settings) as store:
        await store.client.set("x", "1")
    async with open_store(settings, create=False) as store:
        assert await store.client.get("x") == b"1"
