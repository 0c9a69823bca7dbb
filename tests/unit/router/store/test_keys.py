"""The names of all keys, which operators see and other processes rely on."""

import pytest

from router.store.keys import Keys

STREAM = "publisher/type"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Keys().events(STREAM), "er:{publisher/type}:events"),
        (Keys().seen(STREAM, "id"), "er:{publisher/type}:seen:id"),
        (Keys().inbox(STREAM, "sub"), "er:{publisher/type}:inbox:sub"),
        (Keys().replayed(STREAM, "sub", 2900), "er:{publisher/type}:inbox:sub:replayed:2900"),
        (Keys().due(STREAM, "sub"), "er:{publisher/type}:due:sub"),
        (Keys().parked(STREAM, "sub"), "er:{publisher/type}:due:sub:bodies"),
        (Keys().dead(STREAM, "sub"), "er:{publisher/type}:dead:sub"),
        (Keys().restored(STREAM, "sub"), "er:{publisher/type}:dead:sub:imported"),
        (Keys().quarantine("publisher"), "er:{publisher}:quarantine"),
        (Keys().consumers("sub"), "er:{subscription:sub}:consumers"),
        (Keys().janitor(), "er:{janitor}:round"),
        (Keys().streams(), "er:{janitor}:streams"),
        (Keys().audit(), "er:audit"),
        (Keys().sign_in_link("0a"), "er:{console}:link:0a"),
        (Keys("mine").events(STREAM), "mine:{publisher/type}:events"),
    ],
)
def test_each_key_has_the_documented_name(made: str, expected: str) -> None:
    """The names are part of the design: they do not change, and the prefix is a setting."""
    assert made == expected


def test_all_keys_of_a_stream_share_a_hash_tag() -> None:
    """On a Cluster one script may touch all keys of one stream, so all of them have its tag and no other."""
    keys = Keys()
    made = [keys.events(STREAM), keys.seen(STREAM, "{x}"), *(of(STREAM, "{s}") for of in (keys.inbox, keys.due))]
    made += [of(STREAM, "sub") for of in (keys.parked, keys.dead)]
    assert {key[key.index("{") + 1 : key.index("}")] for key in made} == {STREAM}


def test_two_routers_on_one_server_share_no_key() -> None:
    """Different prefixes give different names, also where names are remembered."""
    first, second = Keys("a"), Keys("b")
    assert first.events(STREAM) != second.events(STREAM)
    assert first.events(STREAM) is first.events(STREAM)
