"""`fake-erp`: an ERP to try workers with that fetch records."""

import asyncio
from typing import Annotated

import typer

from config.errors import RouterError
from router.cli.command.leaving import Leaving
from router.cli.command.runtime import for_service
from router.cli.output.results import print_line
from workers.erp.fake import FakeErp, Options, serving

_ENVIRONMENT = """
  export ROUTER_ERP__VISMA_NET_FINANCIAL__BASE_URL={base}
  export ROUTER_ERP__VISMA_NET_FINANCIAL__TOKEN_URL={token}
  export ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_ID=anyone
  export ROUTER_ERP__VISMA_NET_FINANCIAL__CLIENT_SECRET=anything
"""


def fake_erp(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8765,
    token_seconds: Annotated[float, typer.Option(min=1, help="How long a token is good.")] = 3600,
    quota: Annotated[int, typer.Option(min=0, help="Requests of each company in one window.")] = 5000,
    window: Annotated[int, typer.Option(min=1, help="Seconds of a window.")] = 3600,
    delay: Annotated[float, typer.Option(min=0, help="Seconds that each answer takes.")] = 0,
    empty: Annotated[bool, typer.Option("--empty", help="Hold only what is posted, and make up no record.")] = False,
) -> None:
    """Serve an ERP in memory, to try workers with that fetch records.

    It gives tokens to anyone, makes up each record that it is asked for, and forgets all at its end. Tokens end, quotas
    are used up, and versions, sweeps and background answers are as the real one has them.
    """
    for_service()
    options = Options(token_seconds=token_seconds, quota=quota, window=window, delay=delay, invent=not empty)

    async def work(stop: asyncio.Event) -> None:
        try:
            async with serving(FakeErp(options), host, port) as erp:
                print_line(_ENVIRONMENT.format(base=erp.base_url, token=erp.token_url))
                await stop.wait()
        except OSError as error:
            raise RouterError(f"{host}:{port} cannot be listened on ({error.strerror}); name another --port") from error

    Leaving("fake-erp").serve(work)
