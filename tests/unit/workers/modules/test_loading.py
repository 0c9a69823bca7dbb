"""Finding the subscriptions in a user's modules."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.errors import ConfigError
from workers import Subscription
from workers.modules.loading import BrokenModule, load_subscriptions

GOOD = """
from workers import Subscription
first = Subscription("{name}-1", events=["*"])
second = Subscription("{name}-2", events=["*"])
alias = first
@first.handler
@second.handler
def handle(event): ...
"""
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of one's own, and forget afterwards what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def write(name: str, text: str = GOOD) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", path.stem))
        return str(path)

    return write


def names(*modules: str) -> list[str]:
    """Load, and return the names of what was found."""
    return [subscription.name for subscription in load_subscriptions(modules)]


def test_a_file_is_loaded_by_its_path(write: Write) -> None:
    """All subscriptions of a file, in their order, each once whatever its names."""
    assert names(write("mine_file.py")) == ["mine_file-1", "mine_file-2"]


def test_a_dotted_name_is_loaded_from_the_working_directory(write: Write) -> None:
    """A module beside the user needs no installation; what it shares with another is found once."""
    write("mine_package/__init__.py", "")
    write("mine_package/one.py")
    write("mine_package/two.py", "from mine_package.one import first")
    assert names("mine_package.one", "mine_package.two") == ["one-1", "one-2"]


def test_a_file_may_import_its_neighbours(write: Write) -> None:
    """A file in another folder finds the modules beside it."""
    write("deep/folder/mine_neighbour.py")
    assert names(write("deep/folder/mine_main.py", "from mine_neighbour import first, second")) == [
        "mine_neighbour-1",
        "mine_neighbour-2",
    ]


def test_several_modules_are_loaded_in_order(write: Write) -> None:
    """The order is that of the command line."""
    paths = [write("mine_b.py"), write("mine_a.py")]
    assert names(*paths) == ["mine_b-1", "mine_b-2", "mine_a-1", "mine_a-2"]


def test_a_module_that_is_not_there_is_a_mistake(write: Write) -> None:
    """A name without a module, or a path without a file, is named in the message."""
    write("mine_package/__init__.py", "")
    for name in ("mine_nothing", "mine_package.nothing", "mine_nothing.deeper"):
        with pytest.raises(ConfigError, match=name):
            names(name)
    with pytest.raises(ConfigError, match="no such file"):
        names("mine_nothing.py")
    with pytest.raises(ConfigError, match="no such file"):
        names("./")


def test_a_file_that_is_not_python_is_refused(write: Write) -> None:
    """A path to something else says what it should be."""
    with pytest.raises(ConfigError, match=r"must end in \.py"):
        names(write("mine.txt", "x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import mine_missing_dependency", "ModuleNotFoundError: No module named 'mine_missing_dependency'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("(", "SyntaxError: "),
    ],
)
def test_an_error_within_the_module_is_shown_from_there_on(write: Write, text: str, reason: str) -> None:
    """What is wrong in the user's own module is told as that, with a traceback that begins in their file."""
    path = write("mine_broken.py", text)
    for name in ("mine_broken", path):
        with pytest.raises(BrokenModule) as caught:
            names(name)
        assert name in str(caught.value)
        assert reason in str(caught.value)
        assert path in caught.value.traceback
        assert "loading.py" not in caught.value.traceback
        assert "importlib" not in caught.value.traceback


def test_a_wrong_handler_of_a_file_is_named_as_its_author_knows_it(write: Write) -> None:
    """The name that a file is imported under is nobody's business."""
    text = "from workers import Subscription\ns = Subscription('s', events=['*'])\n@s.handler\ndef f(a, b): ..."
    path = write("mine_wrong.py", text)
    with pytest.raises(ConfigError, match=rf"handler mine_wrong\.f \({path}:3\) takes one argument"):
        names(path)


def test_a_module_without_a_subscription_is_a_mistake(write: Write) -> None:
    """Nothing to run is not what anybody meant."""
    with pytest.raises(ConfigError, match="no Subscription found"):
        names(write("mine_empty.py", "x = 1"))


def test_a_subscription_without_a_handler_is_a_mistake(write: Write) -> None:
    """It is found before anything starts."""
    text = "from workers import Subscription\ns = Subscription('lonely', events=['*'])"
    with pytest.raises(ConfigError, match="lonely"):
        names(write("mine_lonely.py", text))


def test_two_subscriptions_of_one_name_are_a_mistake(write: Write) -> None:
    """They would share one group and take events from each other."""
    with pytest.raises(ConfigError, match="same-1"):
        names(write("a/same.py"), write("b/same.py"))


def test_no_modules_are_no_subscriptions() -> None:
    """Nothing named, nothing found."""
    assert load_subscriptions([]) == []
    assert isinstance(Subscription, type)


def test_a_file_named_like_a_package_does_not_replace_it(write: Write) -> None:
    """`workers.py` is what many will call their file; `from workers import Subscription` in it must work."""
    assert names(write("workers.py")) == ["workers-1", "workers-2"]


ONE = """
from workers import Subscription
{name} = Subscription("{name}", events=["*"])
@{name}.handler
def handle(event): ...
"""
MAKE = """
from workers import Subscription

def make(name, **_):
    made = Subscription(name, events=["*"])
    made.handler(handle)
    return made

def handle(event): ...
"""


@pytest.mark.parametrize(
    "text",
    [
        "all_of_them = [make(name) for name in 'abc']",
        "all_of_them = {name: make(name) for name in 'abc'}",
        "all_of_them = [(make('a'), {'deep': [make('b')]}), frozenset([make('c')])]\nagain = all_of_them[0][0]",
        "for name in 'abc': subscription = make(name)",
        "for name in 'abc': make(name)",
        "class All:\n    a, b = make('a'), make('b')\n    def __init__(self): self.c = make('c')\nkept = All()",
        "class Slots:\n    __slots__ = ('a', 'b')\nkept = Slots()\nkept.a, kept.b = make('a'), [make('b'), make('c')]",
        "def at_import():\n    return [make(name) for name in 'abc']\nat_import()",
        "exec('for name in \"abc\": make(name)')",
        "class Mine(Subscription): ...\nfor name in 'abc': Mine(name, events=['*']).handler(handle)",
        "import sys\nfor name in 'abc': make(name)\nsys.modules[__name__] = object()",
        "loop = []\nloop.append(loop)\nloop += [make('a'), make('b'), make('c')]",
    ],
)
def test_each_subscription_made_is_found_once(write: Write, text: str) -> None:
    """However a module keeps them, in variables, collections, objects or not at all: all that it makes are run."""
    for path in (write("mine_many.py", MAKE + text), "mine_many"):
        assert sorted(names(path)) == ["a", "b", "c"]
        sys.modules.pop("mine_many")


@pytest.mark.parametrize(
    "text",
    [
        "held = [make('a'), {'b': make('b')}]",
        "class Held: pass\nheld = Held()\nheld.a, held.others = make('a'), (make('b'),)",
        "class held:\n    a, b = make('a'), make('b')",
        "class Slots:\n    __slots__ = ('a', 'b', 'unset')\nheld = Slots()\nheld.a, held.b = make('a'), make('b')",
    ],
)
def test_what_is_imported_by_name_is_found(write: Write, text: str) -> None:
    """A module also has the subscriptions of others that it imports by name, in whatever these keep them."""
    write("mine_lib.py", MAKE + text)
    assert sorted(names(write("mine_app.py", "from mine_lib import held"))) == ["a", "b"]


def test_what_is_imported_for_something_else_is_not_run(write: Write) -> None:
    """A module with subscriptions of its own does not run those of a module that it only takes a function of."""
    write("mine_customers.py", ONE + "def helper(): ...")
    with capture_logs() as logged:
        assert names(write("mine_orders.py", f"from mine_customers import helper\n{ONE}")) == ["mine_orders"]
    (line,) = [line for line in logged if line["event"] == "subscription_not_run"]
    assert (line["subscription"], line["made_in"]) == ("mine_customers", "mine_customers")
    assert names("mine_orders.py", "mine_customers.py") == ["mine_orders", "mine_customers"]


def test_a_module_without_subscriptions_stands_for_what_it_imports(write: Write) -> None:
    """One that names the modules to run, itself or in a package, runs all of them."""
    write("mine_one.py", ONE)
    write("mine_package/__init__.py", "from mine_package import two")
    write("mine_package/two.py", ONE)
    assert names(write("mine_all.py", "import mine_one, mine_package")) == ["mine_one", "two"]


def test_a_package_has_what_its_modules_make(write: Write) -> None:
    """A package that imports its modules runs their subscriptions beside its own."""
    write("mine_package/__init__.py", ONE.replace("{name}", "own") + "from . import customers, orders")
    write("mine_package/customers.py", ONE)
    write("mine_package/orders.py", ONE)
    assert names("mine_package") == ["own", "customers", "orders"]


@pytest.mark.parametrize("app", ["mine_app.py", "src/mine_app.py", "src/deep/mine_app.py"])
@pytest.mark.parametrize("way", ["mine_app", "package"])
def test_a_file_is_one_module_whoever_imports_it(write: Write, app: str, way: str) -> None:
    """The handler that another module gives to the subscription of a file is that of the subscription that is run."""
    name = app.removesuffix(".py").replace("/", ".") if way == "package" else "mine_app"
    handlers = f"from {name} import customers\n@customers.handler\ndef handle(event): ..."
    write(str(Path(app).with_name("mine_handlers.py")), handlers)
    text = "from workers import Subscription\ncustomers = Subscription('customers', events=['*'])\nimport mine_handlers"
    assert names(write(app, text)) == ["customers"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1,)])
def test_files_that_import_each_other_are_run_once(write: Write, order: tuple[int, ...]) -> None:
    """The order of the command line does not matter, nor that one is named twice."""
    files = [write("mine_a.py", ONE), write("mine_b.py", f"from mine_a import mine_a\n{ONE}")]
    assert sorted(names(*(files[number] for number in order))) == ["mine_a", "mine_b"]


def test_a_file_and_its_dotted_name_are_one(write: Write) -> None:
    """A module named in two ways is run once."""
    path = write("mine_package/mine_app.py", ONE)
    assert names(path, "mine_package.mine_app", "./mine_package/../mine_package/mine_app.py") == ["mine_app"]
    assert names("mine_package.mine_app", path) == ["mine_app"]


def test_a_link_and_its_file_are_one(write: Write, tmp_path: Path) -> None:
    """A symbolic link is the file that it leads to, which finds its own neighbours."""
    write("real/mine_neighbour.py", ONE)
    path = write("real/mine_real.py", f"import mine_neighbour\nfrom mine_neighbour import mine_neighbour as one\n{ONE}")
    for name in ("mine_link.py", "mine_real.py"):
        (tmp_path / name).symlink_to(path)
    write("mine_other.py", "from mine_link import mine_real")
    assert names("mine_link.py", "mine_real.py", path, "mine_other", "mine_link") == ["mine_neighbour", "mine_real"]


def test_a_link_to_what_has_another_name_is_loaded(write: Write, tmp_path: Path) -> None:
    """What a link leads to need not be named as Python files are, as in a content-addressed store."""
    (tmp_path / "mine_stored.py").symlink_to(write("store/0a1b2c", ONE.replace("{name}", "stored")))
    assert names("mine_stored.py") == ["stored"]


@pytest.mark.parametrize("package", ["mine_package", "workers", "json"])
@pytest.mark.parametrize("cwd", [".", "{package}", "{package}/deep"])
def test_a_file_of_a_package_imports_relatively(
    write: Write, package: str, cwd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file inside a package is its module, wherever it is named from and whatever the package is called."""
    write(f"{package}/__init__.py", "")
    write(f"{package}/deep/__init__.py", "")
    write(f"{package}/shared.py", MAKE)
    path = write(
        f"{package}/deep/app.py", "from ..shared import make\nfrom .names import NAMES\na, b = map(make, NAMES)"
    )
    write(f"{package}/deep/names.py", "NAMES = 'ab'")
    monkeypatch.chdir(tmp_path / cwd.format(package=package))
    assert names(path) == ["a", "b"]
    assert names(str(tmp_path / package / "deep/../deep/app.py")) == ["a", "b"]


def test_files_of_one_name_are_two_modules(write: Write) -> None:
    """Two files that have their name in common are both run."""
    both = [write(f"{folder}/app.py", ONE.replace("{name}", folder)) for folder in ("mine_one", "mine_two")]
    assert names(*both) == ["mine_one", "mine_two"]
    assert names(*reversed(both)) == ["mine_two", "mine_one"]


@pytest.mark.parametrize("name", ["calendar.py", "my-worker.py", "a.b.py", "__init__.py", "config.py"])
def test_a_file_may_have_any_name(write: Write, name: str) -> None:
    """A name that is taken, or none that Python can import by, is no obstacle."""
    path = write(name, ONE.replace("{name}", "one"))
    assert names(path) == ["one"]
    assert names(path) == ["one"]


def test_a_file_that_failed_is_tried_again(write: Write) -> None:
    """What was imported half is not taken for a module."""
    path = write("calendar.py", "1 / 0")
    with pytest.raises(BrokenModule):
        names(path)
    write("calendar.py", ONE.replace("{name}", "one"))
    assert names(path) == ["one"]


def test_a_name_that_cannot_be_is_a_mistake() -> None:
    """A file name that is too long is none that is there."""
    with pytest.raises(ConfigError, match="no such file"):
        load_subscriptions([f"{'x' * 300}.py"])


SHY = """
from workers import Subscription
class Meta(type):
    def __getattribute__(kind, name): raise SystemExit(2)
class Lazy:
    def __getattribute__(self, name): raise SystemExit(2)
class Classed:
    @property
    def __class__(self): raise RuntimeError("no request is handled now")
class Closed(metaclass=Meta): ...
class Slotted:
    __slots__ = ("inner", "nothing")
before = [Lazy(), Classed(), Closed, type.__call__(Closed)]
holder = Slotted()
holder.inner = Subscription("a", events=["*"])
@holder.inner.handler
def handle(event): ...
"""


def test_looking_for_subscriptions_runs_no_code_of_what_it_finds(write: Write) -> None:
    """A lazy object, as frameworks have them, is neither asked for anything nor able to end the worker's start."""
    assert names(write("shy.py", SHY)) == ["a"]
