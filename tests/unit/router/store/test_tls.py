"""The files of certificates: shared by all connections, read again when they are renewed, refused when unusable."""

import shutil
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from support.servers import starting
from support.tls import Certificates, encrypting

from config.errors import ConfigError
from router.store import tls
from router.store.client import connect
from router.store.keys import Keys


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return an authority and what it signed."""
    return Certificates(tmp_path / "ours")


@pytest.mark.real
async def test_connections_share_what_they_encrypt_with(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorities of the system are read once, however many connections there are."""
    read: list[None] = []
    context, prepare = certificates.context(), ssl.create_default_context

    def counted() -> ssl.SSLContext:
        read.append(None)
        return prepare()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    with starting() as server:
        async with encrypting(context, server.port) as proxy:
            url = f"rediss://localhost:{proxy.port}?ssl_ca_certs={certificates.authority}"
            for _ in range(5):
                store = connect(url, Keys("x"))
                assert await store.commands([("PING",)]) == [True]
                await store.aclose()
    assert len(read) == 1


@pytest.mark.real
async def test_a_renewed_file_is_read_again(certificates: Certificates, tmp_path: Path) -> None:
    """A process that runs takes over an authority that was put in place of another."""
    file = tmp_path / "ca.pem"
    shutil.copy(Certificates(tmp_path / "foreign").authority, file)
    with starting() as server:
        async with encrypting(certificates.context(), server.port) as proxy:
            store = connect(f"rediss://localhost:{proxy.port}?ssl_ca_certs={file}", Keys("x"))
            [refused] = await store.commands([("PING",)])
            assert "CERTIFICATE_VERIFY_FAILED" in str(refused)
            file.unlink()
            [absent] = await store.commands([("PING",)])
            assert str(file) in str(absent)
            shutil.copy(certificates.authority, file)
            assert await store.commands([("PING",)]) == [True]
            await store.aclose()


def test_files_that_can_be_used(certificates: Certificates) -> None:
    """A whole set is taken, and so is none."""
    ours = {"ssl_certfile": str(certificates.client), "ssl_keyfile": str(certificates.client_key)}
    tls.check_certificates({"ssl_ca_certs": str(certificates.authority), **ours})
    tls.check_certificates({})


def test_files_that_cannot_be_used(certificates: Certificates, tmp_path: Path) -> None:
    """What is wrong is said with the parameter and the file."""
    client, key, other = certificates.client, certificates.client_key, Certificates(tmp_path / "other").client_key
    for files, said in (
        ({"ssl_ca_certs": "absent.pem"}, r"ssl_ca_certs=absent\.pem cannot be used \(No such file"),
        ({"ssl_ca_certs": tmp_path}, r"ssl_ca_certs=.* cannot be used"),
        ({"ssl_ca_certs": key}, r"ssl_ca_certs=.*client-key\.pem cannot be used"),
        ({"ssl_certfile": "absent.pem"}, r"ssl_certfile=absent\.pem cannot be used \(No such file"),
        ({"ssl_certfile": client}, r"ssl_certfile=.*client\.pem cannot be used"),
        ({"ssl_certfile": client, "ssl_keyfile": other}, r"with ssl_keyfile=.* cannot be used \(KEY_VALUES_MISMATCH"),
        ({"ssl_keyfile": key}, r"ssl_keyfile=.* add ssl_certfile"),
    ):
        with pytest.raises(ConfigError, match=said):
            tls.check_certificates({name: str(file) for name, file in files.items()})


def test_an_encrypted_key_is_refused_and_nobody_asked(certificates: Certificates, tmp_path: Path) -> None:
    """A service has nobody at a terminal to ask for the password of a key."""
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    encrypted.write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(ConfigError, match="cannot be used"):
        tls.check_certificates({"ssl_certfile": str(certificates.client), "ssl_keyfile": str(encrypted)})
