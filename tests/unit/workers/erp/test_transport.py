"""One HTTP exchange with the ERP."""

from support.receiver import Request, receiving
from support.waiting import eventually
from yarl import URL

from config.erp import ErpSettings
from workers.erp.transport import open_transport


def record(number: str) -> bytes:
    """Return the answer that is a record."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number.encode()


async def test_a_record_is_the_answer_to_its_own_request() -> None:
    """What comes on an idle connection is not taken for the record that is asked for next."""

    async def answer(request: Request) -> bytes:
        return record(request.line.split()[1].rpartition("/")[2])

    async with receiving(answer) as erp, open_transport(ErpSettings()) as transport:
        base = URL(f"http://127.0.0.1:{erp.port}/")
        assert (await transport.send("GET", base / "1", {})).content == b"1"
        erp.requests[0].writer.write(record("9"))
        await erp.requests[0].writer.drain()
        pools = transport._session.connector._conns  # type: ignore[union-attr]
        await eventually(lambda: all(protocol.should_close for pool in pools.values() for protocol, _ in pool))
        assert (await transport.send("GET", base / "2", {})).content == b"2"
        assert (await transport.send("POST", base / "3", {}, b"{}")).content == b"3"
    assert erp.connections == 2
