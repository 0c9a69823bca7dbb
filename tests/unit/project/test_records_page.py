"""The page on fetching records: its worker runs as it stands there, and its errors are those that there are."""

import re
from typing import Any

import pytest
from support.docs import DOCS

from workers import erp
from workers.testing import Done, run, sample_event, sample_record

PAGE = (DOCS / "records.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_block_is_code(number: int) -> None:
    """Each block of Python can be compiled."""
    compile(BLOCKS[number], f"records.md, block {number}", "exec", dont_inherit=True)


def test_the_worker_of_the_page_runs() -> None:
    """The worker saves what was found, and deletes what is gone."""
    done: list[tuple[Any, ...]] = []

    async def save_customer(*given: Any) -> None:
        done.append(given)

    async def delete_customer(number: str) -> None:
        done.append((number, None))

    names: dict[str, Any] = {"save_customer": save_customer, "delete_customer": delete_customer}
    exec(BLOCKS[0], names)
    event = sample_event("visma-net-financial/customer_changed", resource_id="1")
    for record in (sample_record({"name": "Ada"}), sample_record(status=404)):
        assert run(names["customers"], event, record=record) == [Done()]
    assert done == [("1", {"name": "Ada"}), ("1", None)]


def test_the_page_has_each_error() -> None:
    """Each error that a handler can meet stands on the page, and none that does not exist."""
    table = PAGE.partition("## What goes wrong")[2].partition("## ")[0]
    named = set(re.findall(r"`((?:Erp|Background|Unsafe|No)[A-Z]?\w+)`", table))
    known = {
        name for name in erp.__all__ if isinstance(found := getattr(erp, name), type) and issubclass(found, Exception)
    }
    assert named == known - {"ErpNotSet"}
