"""The console of a whole system, as `up` runs it."""

from pathlib import Path

import aiohttp
from support.processes import System, running_system
from support.waiting import eventually


def _port(system: System) -> int | None:
    return next((int(line["ops_port"]) for line in system.said("console_started")), None)


async def test_a_link_leads_into_the_console(tmp_path: Path) -> None:
    """`up` runs a console on a port of its own; a link that the command line makes signs in to it, once."""
    async with running_system(tmp_path) as system:
        await system.start("up", "workers.log_events")
        await eventually(lambda: _port(system))
        await system.ready(_port(system))
        await system.ready()  # the console may be there before ingress is
        await system.post_many(["e-1"])
        code, link, _ = await system.run("console", "--link", "--port", str(_port(system)))
        assert code == 0
        base, _, once = link.strip().partition("/login?code=")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.post(f"{base}/login", data={"code": once}, headers={"Origin": base}) as response:
                assert (response.status, len(response.history)) == (200, 1)

            async def shown() -> bool:
                async with session.get(f"{base}/events") as response:
                    return "e-1" in await response.text()

            await eventually(shown)
        async with (
            aiohttp.ClientSession() as stranger,
            stranger.post(f"{base}/login", data={"code": once}, headers={"Origin": base}) as response,
        ):
            assert response.status == 403
        assert once not in system.logs()
