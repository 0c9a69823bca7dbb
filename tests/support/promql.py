"""As much of PromQL as our alerts and panels use, over the first and the last of some scrapes.

A counter that is not in the first scrape has no increase, as with Prometheus; how long a condition lasts (`for`) is not
looked at. An expression that uses anything else fails. What Prometheus itself makes of the rules, promtool tells: see
config/prometheus/alerts_test.yml.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Sample", "evaluate", "parse", "samples_of", "selectors"]

_NAME = "__name__"
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_COMPUTE: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else float("nan"),
}
_AGGREGATE: Mapping[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max, "min": min}
_CHANGES = ("increase", "rate", "delta")


class Sample(NamedTuple):
    """A value and its labels, the name among them where it has one."""

    labels: Mapping[str, str]
    value: float


Scrape = Sequence[Sample]


def samples_of(text: str, **labels: str) -> list[Sample]:
    """Read what a process answers on `/metrics`, with the labels that the scrape adds."""
    families = text_string_to_metric_families(text)
    return [
        Sample({**sample.labels, **labels, _NAME: sample.name}, sample.value)
        for family in families
        for sample in family.samples
    ]


def parse(expression: str) -> promql_parser.Expr:
    """Return the tree of an expression; raises ValueError where it is none."""
    return promql_parser.parse(expression)


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric that an expression asks for, with the labels it names, those of groupings around it too."""
    yield from _selected(parse(expression), frozenset())


def evaluate(expression: str, first: Scrape, last: Scrape) -> list[Sample]:
    """Return what an expression says of the last scrape, and of what changed since the first."""
    found = _value(parse(expression), first, last)
    return [Sample({}, found)] if isinstance(found, float) else found


def _selected(node: promql_parser.Expr, around: frozenset[str]) -> Iterator[tuple[str, set[str]]]:
    if isinstance(node, promql_parser.MatrixSelector):
        node = node.vector_selector
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), {matcher.name for matcher in node.matchers.matchers} | around
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from _selected(node.expr, around | set(_grouping(node)))
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from _selected(argument, around)
    elif isinstance(node, promql_parser.ParenExpr):
        yield from _selected(node.expr, around)
    elif isinstance(node, promql_parser.BinaryExpr):
        on = frozenset(_matching(node) or ())
        yield from _selected(node.lhs, on or around)
        yield from _selected(node.rhs, on or around)


def _value(  # noqa: PLR0911 - one for each kind of expression
    node: promql_parser.Expr, first: Scrape, last: Scrape
) -> float | list[Sample]:
    match node:
        case promql_parser.NumberLiteral():
            return float(node.val)
        case promql_parser.ParenExpr():
            return _value(node.expr, first, last)
        case promql_parser.VectorSelector():
            return _select(node, last)
        case promql_parser.AggregateExpr():
            return _aggregate(node, _vector(node.expr, first, last))
        case promql_parser.Call() if node.func.name in _CHANGES:
            return _changes(node.args[0], first, last, per_second=node.func.name == "rate")
        case promql_parser.Call() if node.func.name == "absent":
            return [] if _vector(node.args[0], first, last) else [Sample({}, 1.0)]
        case promql_parser.BinaryExpr():
            return _combine(node, _value(node.lhs, first, last), _value(node.rhs, first, last))
    raise NotImplementedError(f"{type(node).__name__}: {node}")


def _vector(node: promql_parser.Expr, first: Scrape, last: Scrape) -> list[Sample]:
    found = _value(node, first, last)
    assert isinstance(found, list), f"{node} is a number"
    return found


def _select(node: promql_parser.VectorSelector, scrape: Scrape) -> list[Sample]:
    matchers = [(matcher.name, str(matcher.op), str(matcher.value)) for matcher in node.matchers.matchers]
    return [
        sample
        for sample in scrape
        if sample.labels[_NAME] == node.name and all(_matches(sample.labels.get(name, ""), *m) for name, *m in matchers)
    ]


def _matches(value: str, how: str, wanted: str) -> bool:
    kind = how.rpartition(".")[2]
    fits = re.fullmatch(wanted, value) is not None if kind in ("Re", "NotRe") else value == wanted
    return fits is (kind in ("Re", "Equal"))


def _changes(node: promql_parser.MatrixSelector, first: Scrape, last: Scrape, *, per_second: bool) -> list[Sample]:
    before = {_key(sample.labels): sample.value for sample in _select(node.vector_selector, first)}
    seconds = node.range.total_seconds() if per_second else 1.0
    return [
        Sample(_unnamed(sample.labels), (sample.value - before[_key(sample.labels)]) / seconds)
        for sample in _select(node.vector_selector, last)
        if _key(sample.labels) in before
    ]


def _aggregate(node: promql_parser.AggregateExpr, samples: Sequence[Sample]) -> list[Sample]:
    groups: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels, value in samples:
        groups.setdefault(tuple((name, labels.get(name, "")) for name in _grouping(node)), []).append(value)
    return [Sample(dict(key), float(_AGGREGATE[str(node.op)](values))) for key, values in groups.items()]


def _combine(
    node: promql_parser.BinaryExpr, left: float | list[Sample], right: float | list[Sample]
) -> float | list[Sample]:
    operation = str(node.op)
    if isinstance(left, float):
        if isinstance(right, float):
            return _COMPUTE[operation](left, right)
        return [Sample(_unnamed(sample.labels), _COMPUTE[operation](left, sample.value)) for sample in right]
    on = _matching(node)
    others = right if isinstance(right, float) else {_key(sample.labels, on): sample.value for sample in right}
    if operation in ("and", "unless"):
        assert isinstance(others, dict)
        return [sample for sample in left if (_key(sample.labels, on) in others) is (operation == "and")]
    pairs = [(sample, others if isinstance(others, float) else others.get(_key(sample.labels, on))) for sample in left]
    if operation in _COMPARE:
        return [sample for sample, other in pairs if other is not None and _COMPARE[operation](sample.value, other)]
    compute = _COMPUTE[operation]
    return [Sample(_unnamed(s.labels), compute(s.value, other)) for s, other in pairs if other is not None]


def _grouping(node: promql_parser.AggregateExpr) -> list[str]:
    if node.modifier is None:
        return []
    assert node.modifier.type == promql_parser.AggModifierType.By, f"{node} groups otherwise than by"
    return list(node.modifier.labels)


def _matching(node: promql_parser.BinaryExpr) -> list[str] | None:
    matching = node.modifier.matching if node.modifier is not None else None
    return list(matching.labels) if matching is not None else None


def _unnamed(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != _NAME}


def _key(labels: Mapping[str, str], on: Sequence[str] | None = None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in _unnamed(labels).items() if on is None or name in on))
