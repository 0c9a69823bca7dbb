"""Logging: structlog and the standard library through one set of processors, to stderr, whether that is read or not.

Whatever a caller binds, no secret and no signature reaches the log.
"""

import io
import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

from router.telemetry.log_handler import OutletHandler
from router.telemetry.printable import printable, printable_json, printable_values

_HANDLER = "event-router"
_HIDDEN = "***"
_DEPTH = 6  # deeper values are cut off, which also ends a value that contains itself
_NOTHING: Mapping[str, object] = {}
_bound: ContextVar[Mapping[str, object]] = ContextVar(
    "event-router", default=_NOTHING
)  # cheaper than one for each field
_CONFIDENTIAL = re.compile(r"secret|signature|password|authorization|token|cookie", re.IGNORECASE)


def configure(level: str = "info", format: str = "auto") -> None:  # noqa: A002  the name of the setting
    """Send every logger's records of `level` and above to stderr; calling it again replaces the earlier set-up.

    `format` is `json`, `console`, or `auto`: console when stderr is a terminal and JSON elsewhere.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # Not cached, so that module-level loggers follow a later call; hot paths bind once and keep the result.
        cache_logger_on_first_use=False,
    )
    _install(_handler(console=console), threshold)


def get(name: str) -> FilteringBoundLogger:
    """Return the logger of a module; it may be called before `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def bind(fields: Mapping[str, object]) -> None:
    """Have every line of the running task carry these fields, instead of those that were bound before."""
    _bound.set(fields)


def also(fields: Mapping[str, object]) -> None:
    """Have every line of the running task carry these fields beside those that are bound."""
    _bound.set({**_bound.get(), **fields})


def _add_bound(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_bound.get(), **event}


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: hide the values of keys that name something confidential, at any depth. Never raises."""
    return {key: _clean(key, value, _DEPTH) for key, value in event.items()}


def _clean(key: str, value: object, depth: int) -> object:
    """Copy a value without what is confidential, with keys that JSON can hold."""
    if _CONFIDENTIAL.search(key):
        return _HIDDEN
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {name: _clean(name, item, depth - 1) for name, item in _items(value)}
    items = [_clean("", item, depth - 1) for item in list(value)]
    return tuple(items) if isinstance(value, tuple) else items  # exc_info must stay a tuple


def _items(mapping: Mapping[object, object]) -> list[tuple[str, object]]:
    try:
        return [(key if isinstance(key, str) else repr(key), value) for key, value in mapping.items()]
    except Exception:  # noqa: BLE001  a log line must not fail on what a caller passed in
        return [("unreadable", object.__repr__(mapping))]


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_bound,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Before the record exists: when a record cannot be rendered, logging prints it to stderr as it is.
        redact,
    ]


def _handler(*, console: bool) -> logging.Handler:
    # Tracebacks are plain: the prettier ones print local variables, and those may be secrets.
    renderers: list[Processor] = (
        [_printable, structlog.dev.ConsoleRenderer(exception_formatter=_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json, ensure_ascii=False)]
    )
    handler = _to_stderr()
    handler.name = _HANDLER
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        ),
    )
    return handler


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {printable(key): printable_values(value) for key, value in event.items()}


def _json(event: object, **options: Any) -> str:
    return printable_json(json.dumps(event, **options))


def _traceback(file: TextIO, exc_info: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    file.write(printable(text.getvalue()))


def _to_stderr() -> logging.Handler:
    try:
        return OutletHandler(sys.stderr.fileno(), sys.stderr.encoding)
    except (OSError, ValueError, AttributeError):  # no file of the system: that of a test, for one
        return logging.StreamHandler(sys.stderr)


def flush() -> None:
    """Wait for what is logged to be written, but not for long: a reader may never come."""
    for handler in _ours():
        handler.flush()


def _ours() -> list[logging.Handler]:
    return [known for known in logging.getLogger().handlers if known.name == _HANDLER]


def _install(handler: logging.Handler, threshold: int) -> None:
    root = logging.getLogger()
    for previous in _ours():
        root.removeHandler(previous)
        previous.close()
    root.addHandler(handler)
    root.setLevel(threshold)
