"""The documentation says what is so."""

import re
from pathlib import Path

import pytest
from support.docs import DOCS, docs_module

from config.erp import ErpSettings
from config.forward import ForwardSettings
from config.notify import NotifySettings
from config.publishers import load_publishers
from config.reconcile import ReconcileSettings
from config.settings import Settings
from router.cli.app import load

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
FOR_READERS = {"quick-start", "workers", "forward-receivers", "operating", "deploy", "architecture"}
"""The pages that are read from the beginning to the end."""

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")


GENERATOR = docs_module("generate")


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_generated_pages_are_those_of_the_code(name: str) -> None:
    """A page that follows from the code is not stale: `make docs` writes it anew."""
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATOR.PAGES[name](), "run `make docs`"


def test_every_setting_is_in_the_reference() -> None:
    """No setting is left out."""
    page = GENERATOR.settings_page()
    for section, field in Settings.model_fields.items():
        names = getattr(field.annotation, "model_fields", None)
        for name in names or ():
            assert f"`ROUTER_{section}__{name}`".upper() in page.upper(), f"{section}.{name}"
        if not names and section not in ("hints", "dedup_windows", "secrets", "erp", "reconcile", "forward", "notify"):
            assert f"`ROUTER_{section}`".upper() in page.upper(), section
    assert "ROUTER_SECRETS__VISMA_NET_FINANCIAL" in page
    assert "ROUTER_HINTS__VISMA_NET_FINANCIAL" in page
    for name in ErpSettings.model_fields:
        assert f"`ROUTER_ERP__VISMA_NET_FINANCIAL__{name}`".upper() in page.upper(), name
    for name in ReconcileSettings.model_fields:
        assert f"`ROUTER_RECONCILE__CUSTOMERS__{name}`".upper() in page.upper(), name
    for name in ForwardSettings.model_fields:
        assert f"`ROUTER_FORWARD__NAME__{name}`".upper() in page.upper(), name
    for name, setting in NotifySettings.model_fields.items():
        assert f"`ROUTER_NOTIFY__NAME__{setting.alias or name}`".upper() in page.upper(), name


def test_every_command_is_in_the_reference() -> None:
    """No command and no option is left out."""
    page = GENERATOR.cli_page()
    for name in ("dlq", "events", "quarantine", "subscriptions"):
        for below, command in load(name).commands.items():
            assert f"### event-router {name} {below}\n" in page
            for parameter in command.params:
                if parameter.name != "help" and parameter.param_type_name == "option":
                    assert f"`{parameter.opts[0]}`" in page


def test_every_event_is_in_the_reference() -> None:
    """No event type is left out."""
    page = GENERATOR.catalogue_page()
    for publisher in load_publishers():
        for event in publisher.events:
            assert f"| `{event.type}` |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file or to a heading of one finds it."""
    text = page.read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (page.parent / target).resolve()
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            assert anchor[1:] in _anchors(found.read_text(encoding="utf-8")), f"{page.name}: {target}{anchor}"
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in _anchors(text), f"{page.name}: #{anchor}"


def test_events_that_are_sent_exist() -> None:
    """What a reader is told to send is in the catalogue, or in the file that the same page has him write."""
    known = {(publisher.slug, event.type) for publisher in load_publishers() for event in publisher.events}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for publisher, event in re.findall(r"\bsend ([a-z]+-[a-z-]+) ([a-z_]+)", text):
            written = f'slug = "{publisher}"' in text and f'type = "{event}"' in text
            assert written or (publisher, event) in known, f"{page.name}: send {publisher} {event}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_make_is_asked_for_exists(page: Path) -> None:
    """Each `make …` of a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_what_those_who_change_the_code_are_sent_to_exists(name: str) -> None:
    """Each file or folder that these pages name is there."""
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:config|router|workers|tests|deploy|docs|\.ci)/[\w/.-]+)`", text)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists() or "NAME" in path or "SLUG" in path, path


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_first_line_says_what_a_page_is_for(page: Path) -> None:
    """A page of the short path says for whom it is, the index that it is one, and any other that it is reference."""
    text = re.sub(r"^<!--.*?-->\n+", "", page.read_text(encoding="utf-8"))
    first = text.split("\n\n")[1]
    begins = "For " if page.stem in FOR_READERS else "An index " if page.name == "README.md" else "Reference: "
    assert first.startswith(begins), first
    assert f"]({page.name})" in (DOCS / "README.md").read_text(encoding="utf-8") or page.name == "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    """A promise is not said to be proven by a file that is gone."""
    for path in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
