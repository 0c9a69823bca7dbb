"""Error responses."""

import json

import pytest

from router.http.response import problem


@pytest.mark.parametrize(("status", "title"), [(401, "Unauthorized"), (404, "Not Found"), (503, "Service Unavailable")])
def test_a_problem_is_a_document_of_rfc_9457(status: int, title: str) -> None:
    """The body says status, title and what was wrong, in the media type made for it."""
    response = problem(status, 'no "such"\nthing: é')
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": 'no "such"\nthing: é',
    }


def test_a_problem_may_have_headers_and_end_the_connection() -> None:
    """Headers are passed on; the connection ends only where that is asked for."""
    assert problem(503, "x", headers={"Retry-After": "5"}).headers == {"Retry-After": "5"}
    assert problem(413, "x", close=True).close
    assert not problem(401, "x").close
