"""The scripts of the lines against a model, by a machine that does anything in any order, at a time of its own."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from support.lines.machine import machine_on
from support.stores import fake_store, real_store

STEPS = 30
MANY = 300


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Return a loop to run coroutines in."""
    with asyncio.Runner() as runner:
        yield runner


def check(runner: asyncio.Runner, url: str | None, examples: int) -> None:
    """Run the machine on a fake store, or on the server at a URL."""
    context = fake_store() if url is None else real_store(url)
    store = runner.run(context.__aenter__())
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine_on(store, runner.run),
            settings=settings(
                max_examples=examples, stateful_step_count=STEPS, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize(
    "examples", [8, pytest.param(MANY // 3, marks=pytest.mark.long), pytest.param(MANY, marks=pytest.mark.campaign)]
)
def test_lines_keep_to_their_laws(runner: asyncio.Runner, examples: int) -> None:
    """Whatever happens, nothing is lost, doubled, overtaken, starved or left behind; see support/lines."""
    check(runner, None, examples)


@pytest.mark.real
@pytest.mark.parametrize(
    "examples", [25, pytest.param(MANY, marks=pytest.mark.long), pytest.param(5 * MANY, marks=pytest.mark.campaign)]
)
def test_lines_keep_to_their_laws_on_a_server(runner: asyncio.Runner, server_url: str, examples: int) -> None:
    """As on the fake store, with the Lua of the real one."""
    check(runner, server_url, examples)
