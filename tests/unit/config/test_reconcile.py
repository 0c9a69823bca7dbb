"""The settings of reconciliations: from the file and the environment, each checked by name."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.reconcile import Company
from config.settings import Settings
from config.sources import load_settings

FILE = """
[reconcile.customers]
path = "v1/customer"
every = "1h"
overlap = "10m"
deletes = "1d"
companies = ["t1/7", "t2", "t1/7"]
"""


def load(tmp_path: Path, text: str = FILE, **variables: str) -> Settings:
    """Load settings from a file with this text, and these variables."""
    file = tmp_path / "router.toml"
    file.write_text(text)
    return load_settings(file, {f"ROUTER_RECONCILE__{name}": value for name, value in variables.items()})


def test_a_reconciliation(tmp_path: Path) -> None:
    """Times are written with their unit, companies once each; without companies it is the tenant of the ERP."""
    terms = load(tmp_path).reconcile["customers"]
    assert (terms.every, terms.overlap, terms.deletes) == (3600, 600, 86_400)
    assert terms.swept("t9") == (Company(tenant="t1", company="7"), Company(tenant="t2"))
    assert [company.name for company in terms.swept("t9")] == ["t1/7", "t2"]
    alone = load(tmp_path, '[reconcile.customers]\npath = "v1/customer"\n').reconcile["customers"]
    assert alone.swept("t9") == (Company(tenant="t9"),)
    assert alone.swept("") == ()


def test_the_environment(tmp_path: Path) -> None:
    """A variable overrides one setting of one reconciliation, or makes another."""
    settings = load(
        tmp_path, CUSTOMERS__EVERY="30", SALES_ORDERS__PATH="v1/salesorder", SALES_ORDERS__NUMBER="type, no"
    )
    assert (settings.reconcile["customers"].every, settings.reconcile["customers"].overlap) == (30, 600)
    assert settings.reconcile["sales_orders"].number == ("type", "no")


def test_none_is_set() -> None:
    """The packaged file names none."""
    assert load_settings(environ={}).reconcile == {}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('every = "1 hour"', "reconcile.customers.every = '1 hour': must be a number above 0"),
        ("every = 0", "must be a number above 0"),
        ('path = "/v1/customer"', "must be the path of a collection"),
        ('path = "v1/../x"', "must be the path of a collection"),
        ('path = "v1/customer?x=1"', "must be the path of a collection"),
        ('companies = ["a/b/c"]', "TENANT/COMPANY"),
        ('zone = "Nowhere/At-all"', "must be a time zone"),
        ('zone = "../../etc/passwd"', "must be a time zone"),
        ('query = "lastModifiedDateTime=2020"', "must leave lastModifiedDateTime to the sweep"),
        ('query = "active"', "must be a query"),
        ("max_deletes = 1", "max_deletes"),
        ("reserve = 1", "reserve"),
        ('since_parameter = "changed"', "since_parameter"),
        ("evry = 1", "unknown setting; known are"),
    ],
)
def test_what_is_refused(tmp_path: Path, line: str, error: str) -> None:
    """A wrong value is refused in one line that names the setting."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[reconcile.customers]\n{line}\n")
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_no_key_can_have(tmp_path: Path) -> None:
    """The name becomes part of keys and variables, so it has letters, digits and underscores alone."""
    with pytest.raises(ConfigError, match="use a to z"):
        load(tmp_path, '[reconcile."a:{b}"]\npath = "v1/customer"\n')
