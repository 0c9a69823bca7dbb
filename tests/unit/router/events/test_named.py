"""Whom bytes name, in whatever form they have it."""

import base64
import gzip
import json
import zlib

import pytest

from config.publishers import load_publishers
from router.events.named import named_in

FINANCIAL = next(each for each in load_publishers() if each.slug == "visma-net-financial")
BODY = '{"contextId": "7", "note": "77"}'
FORM = b"Content-Disposition: form-data; name="


def gzipped(body: bytes, level: int = 9) -> bytes:
    """Return a body as gzip makes it at any time: every process that runs tests names them alike."""
    return gzip.compress(body, level, mtime=0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"contextId": 51, "tenantId": "t1"}', [("t1", "51")]),
        (b'\xef\xbb\xbf{"CompanyId": "51"}', [("", "51")]),
        (b'[{"contextId": "51"}, {"companyId": "52"}]', [("", "51"), ("", "52")]),
        (b'{"data": {"company_id": "51"}}', [("", "51")]),
        (b'{"note": "51", "customer": {"id": "51"}, "contextId": true}', []),
        (b'{"contextId": "51", "note": "torn', [("", "51")]),
        (b"contextId=51&tenantId=t1", [("", "51"), ("t1", "")]),
        (b"{'contextId': '51'}", [("", "51")]),
        (b'\xff\xfe"contextId": "51"', [("", "51")]),
        (b'{"companyId": "51", "CompanyId": "52"}', [("", "51"), ("", "52")]),
        (b'{"tenantId": "t1", "tenant_id": "t2", "companyId": "51"}', [("t1", "51"), ("t2", "")]),
        (b'{"a":' * 20 + b'{"companyId": "51"}' + b"}" * 20, [("", "51")]),
        (b"[" + b"{}," * 100_000 + b'{"companyId": "51"}]', [("", "51")]),
        (b"5", []),
        (b"null", []),
        (b"true", []),
        (b'"51"', []),
        (b"", []),
        (b"[" * 100_000, []),
    ],
)
def test_what_bytes_name(raw: bytes, expected: list[tuple[str, str]]) -> None:
    """A body says whose it is by the names that its publisher gives to tenants and companies, torn or not."""
    assert named_in(FINANCIAL, raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        *(BODY.encode(name) for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")),
        BODY.encode("utf-16")[:-9],
        b"\x81" + BODY.encode("utf-16-le"),
        gzipped(BODY.encode()),
        gzipped(BODY.encode("utf-16")),
        gzipped(gzipped(BODY.encode())),
        gzipped(b"[") + gzipped(BODY.encode()),
        gzipped(BODY.encode() * 50, 1)[:-12],
        b"--b\r\n\r\n" + gzipped(BODY.encode()),
        zlib.compress(BODY.encode()),
        gzipped(b" " * 17_000_000 + BODY.encode()),
        json.dumps(BODY).encode(),
        json.dumps({"data": BODY}).encode(),
        json.dumps([{"data": json.dumps({"inner": BODY})}]).encode(),
        json.dumps({"data": json.dumps({"inner": BODY})}).encode()[:-5],
        json.dumps({"data": BODY[:-3]}).encode(),
        json.dumps({"data": "<e><CompanyId>7</CompanyId></e>"}).encode(),
        json.dumps({"data_base64": base64.b64encode(BODY.encode()).decode()}).encode(),
        json.dumps({"data": base64.urlsafe_b64encode(gzipped(BODY.encode())).decode().rstrip("=")}).encode(),
        b'{"a": 1}\n{"contextId": "7"}\n',
        b'{"contextId": "7", "contextId": ""}',
        b'{"context\\u0049d": "\\u0037", "torn',
        b'{"contextId": 7.0}',
        b"<event><contextId>7</contextId></event>",
        b'<?xml version="1.0"?><v:event xmlns:v="u"><v:Company-ID type="string">\n 7 </v:Company-ID>',
        b"<e><companyId><![CDATA[7]]></companyId></e>",
        b"<e><companyId>&#55;</companyId></e>",
        b'<event a="1" companyId="7"/>',
        b"<event companyId='7' />",
        b'<p name="companyId">7</p>',
        b'<p name="companyId" type="int" value="7"/>',
        b"<data>{&quot;contextId&quot;: &quot;7&quot;}</data>",
        "<e><contextId>7</contextId></e>".encode("utf-16"),
        b"of event companyId: 7",
        b"a=1&companyId=7",
        b"a=1&company%49d=%37",
        b"events%5B0%5D%5Bcompany_id%5D=7&x=1",
        b"payload=%7B%22contextId%22%3A%227%22%7D",
        b"payload=%3Ce%3E%3CcontextId%3E7%3C%2FcontextId%3E",
        b"--b\r\n" + FORM + b'"companyId"\r\n\r\n7\r\n--b--',
        b"--b\r\n" + FORM + b'"d"\r\nContent-Type: application/json\r\n\r\n' + BODY.encode() + b"\r\n--b--",
    ],
)
def test_what_other_encodings_name(raw: bytes) -> None:
    """An id is found as a whole value in each form that a sender may give a body, or a part of it."""
    assert ("", "7") in named_in(FINANCIAL, raw)
    assert ("", "77") not in named_in(FINANCIAL, raw)
    other = named_in(FINANCIAL, raw.replace(b"7", b"77")) if b"7" in raw[:400] and b"\x1f\x8b" not in raw else []
    assert ("", "7") not in other


@pytest.mark.parametrize(
    "raw",
    [
        b'{"contextId": "8", "note": "the companyId is 7", "customer": "7"}',
        b'{"contextId": "8", "note": "companyId=7"}',
        b"<e><contextId>8</contextId><customer>7</customer><note>of company 7</note></e>",
        b"companyId=8&customer=7&note=of%207",
        gzipped(b'{"contextId": "77"}'),
        "<e><contextId>77</contextId></e>".encode("utf-16"),
        b"\x1f\x8b\x08 no gzip",
        b"\0" * 1000,
        b"eyJub3QgYmFzZTY0",
        bytes(range(256)) * 100,
    ],
)
def test_what_does_not_name_it(raw: bytes) -> None:
    """A text that happens to have the id is not the company, nor are bytes that make no sense."""
    assert ("", "7") not in named_in(FINANCIAL, raw)


@pytest.mark.parametrize(
    "raw", [b"<a " * 100_000, b"<contextId>" + b" " * 300_000, b"name=" * 20_000, b"\\" * 300_000, b"a" * 300_000]
)
def test_what_is_torn_takes_no_long(raw: bytes) -> None:
    """A large body that makes no sense is looked through in a time that grows with its length alone."""
    assert named_in(FINANCIAL, raw) == []
