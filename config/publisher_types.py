"""The kinds of values that a publisher's file holds, each checked and brought into one form when it is read."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints


def fold(name: str) -> str:
    """Reduce a name to its letters and digits in lower case: `Account_Identity_Changed` to `accountidentitychanged`.

    Senders agree on words, not on case and separators; two spellings that fold alike are one name.
    """
    return "".join(filter(str.isalnum, name.casefold()))


def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    folded = tuple(dict.fromkeys(map(fold, names)))
    if "" in folded:
        raise ValueError("a wire name needs a letter or digit")
    return folded


def _pairs(value: object) -> object:
    """Turn a table into its pairs, which a frozen model can hold."""
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _texts(value: object) -> object:
    """Write the numbers of a list as the texts that fields are compared as."""
    is_list = isinstance(value, list | tuple)
    return tuple(str(v) if type(v) is int else v for v in value) if is_list else value  # type: ignore[attr-defined]


def _folded_names(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((fold(name), word) for name, word in pairs)


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+\z")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+\z")]
Text = Annotated[str, StringConstraints(min_length=1)]
HeaderNames = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\z", to_lower=True)], ...],
    Field(max_length=100),
]
"""Names of headers, in which `*` stands for any characters."""
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+\z", to_lower=True)]
_WORD, _NAME = r"[A-Za-z0-9_.~-]+", r"\{[a-z_]+\}"
RecordPath = Annotated[
    str, StringConstraints(pattern=rf"^{_WORD}(?:/(?:{_WORD}|{_NAME}))*/{_NAME}(?:/{_WORD})*\z", max_length=200)
]
WireNames = Annotated[tuple[str, ...], AfterValidator(_folded)]
FieldValues = Annotated[
    tuple[tuple[str, Annotated[tuple[str, ...], BeforeValidator(_texts)]], ...], BeforeValidator(_pairs)
]
"""For some fields a list of values, as texts."""
Words = Annotated[tuple[tuple[str, Word], ...], BeforeValidator(_pairs), AfterValidator(_folded_names)]
"""Words of ours by those of the wire, folded."""
