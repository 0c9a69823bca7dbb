"""What compose.yaml promises of its containers, and the files that it mounts."""

import os
import re
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue
from workers.modules.loading import load_subscriptions

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: Mapping[str, dict[str, Any]] = COMPOSE["services"]
ROUTERS = ("ingress-a", "ingress-b", "worker", "forward", "console", "cli")
INGRESSES = ("ingress-a", "ingress-b")
USERS = ROOT / "config" / "acl" / "users.acl"


def seconds(text: str) -> float:
    """Read a time as compose writes it."""
    return float(text.removesuffix("s"))


def default(text: str) -> str:
    """Return the default of a variable, `${NAME:-DEFAULT}`."""
    return text.partition(":-")[2].rstrip("}")


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_contained(name: str) -> None:
    """No container has a capability, can gain privileges, can write to its image, or grows without bound."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert service["mem_limit"]
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert "privileged" not in service
    assert "cap_add" not in service


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ROUTERS])
def test_no_image_of_others_runs_as_root(name: str) -> None:
    """Where the image is not ours the user is named by number; ours names its own."""
    user, _, _ = SERVICES[name]["user"].partition(":")
    assert int(user) > 0


def test_no_secret_is_in_the_environment() -> None:
    """Secrets are files, each container has only those of its role, and each of them is made by deploy/make-secrets."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"SECRET|TOKEN|URL|PASSWORD", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"], (name, variable)
    roles = {name: [s for s in SERVICES[name]["secrets"] if s.startswith("redis-url")] for name in ROUTERS}
    assert roles["ingress-a"] == roles["ingress-b"] == ["redis-url-ingress"]
    assert roles["worker"] == ["redis-url-worker"]
    assert roles["forward"] == ["redis-url-forwarder"]
    assert roles["console"] == roles["cli"] == ["redis-url-operator"]


def test_ingress_has_a_secret_for_each_publisher() -> None:
    """A publisher that is added to the catalogue is not forgotten here."""
    wanted = {f"ROUTER_SECRETS__{slug.replace('-', '_').upper()}_FILE" for slug in Catalogue.load().publishers}
    for name in (*INGRESSES, "cli"):
        assert wanted <= SERVICES[name]["environment"].keys()


def test_containers_are_given_the_time_they_need_to_stop() -> None:
    """An orderly stop takes as long as the settings allow, and nobody is killed before."""
    settings = Settings()
    for name in INGRESSES:
        assert seconds(SERVICES[name]["stop_grace_period"]) > 2 * settings.ingress.shutdown_timeout
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > settings.workers.shutdown_timeout
    assert seconds(SERVICES["redis"]["stop_grace_period"]) > 10  # the default, in which it may not have written all


def test_who_is_reached_from_outside() -> None:
    """Only the proxy listens where others than the host reach it, and Redis is on a network without a way out."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("proxy")
    for name, ports in published.items():
        assert all(port.startswith("127.0.0.1:") for port in ports), name
    assert SERVICES["redis"]["networks"] == ["back"]
    assert COMPOSE["networks"]["back"]["internal"] is True


def test_events_are_on_volumes() -> None:
    """What Redis keeps and what an ingress has spooled outlive their containers; both ingresses share one spool."""
    assert "redis:/data" in SERVICES["redis"]["volumes"]
    assert all("spool:/data" in SERVICES[name]["volumes"] for name in INGRESSES)
    assert {"redis", "spool"} <= COMPOSE["volumes"].keys()


def test_the_proxy_is_believed_and_nobody_else() -> None:
    """The address whose X-Forwarded-For counts is the proxy's, which nobody else has, and it overwrites what came."""
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    assert all(SERVICES[name]["environment"]["ROUTER_INGRESS__TRUSTED_PROXIES"] == address for name in INGRESSES)
    (addresses,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    subnet, given = (ip_network(default(addresses[key])) for key in ("subnet", "ip_range"))
    assert ip_address(default(address)) in subnet
    assert ip_address(default(address)) not in given
    proxy = (ROOT / "config/haproxy/haproxy.cfg").read_text()
    assert "http-request set-header X-Forwarded-For %[src]" in proxy
    assert all(f"server {name} {name}:8080" in proxy for name in INGRESSES)


def test_the_proxy_waits_for_longer_than_ingress_takes() -> None:
    """A request that ingress spools, since the store hangs, is answered before the proxy asks the other ingress."""
    proxy = (ROOT / "config/haproxy/haproxy.cfg").read_text()
    (timeout,) = re.findall(r"timeout server (\d+)s", proxy)
    assert int(timeout) > 2 * Settings().ingress.store_timeout


def test_redis_keeps_what_it_is_given() -> None:
    """The server writes an append-only file, throws nothing away, and lets in nobody but the users of its file."""
    lines = (ROOT / "config/redis/redis.conf").read_text().splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert settings["appendonly"] == "yes"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["aclfile"] == "/run/secrets/redis-users"
    assert "redis-users" in SERVICES["redis"]["secrets"]


def test_the_server_may_read_what_it_wrote() -> None:
    """`default`, as whom some servers read their append-only file, is off and has all rights: docs/redis.md."""
    assert USERS.read_text().splitlines()[0].split() == ["user", "default", "off", "~*", "&*", "+@all"]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which all secrets were made."""
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    make_secrets(folder)
    return folder


def make_secrets(folder: Path) -> None:
    """Make what is not there yet."""
    subprocess.run(["sh", ROOT / "deploy/make-secrets", folder], check=True, capture_output=True)


def test_all_secrets_are_made(secrets: Path) -> None:
    """Every file that compose.yaml mounts is there, and nobody but its owner can enter the folder."""
    for secret in COMPOSE["secrets"].values():
        assert (secrets / secret["file"].rpartition("/")[2]).stat().st_size > 0
    assert secrets.stat().st_mode & 0o077 == 0
    if os.getuid() == 0:
        assert all(file.stat().st_mode & 0o027 == 0 for file in secrets.iterdir())


def test_secrets_are_usable(secrets: Path, tmp_path: Path) -> None:
    """The router takes the files that were made as its settings."""
    empty = tmp_path / "router.toml"
    empty.touch()
    for role in ("ingress", "worker", "reconciler", "forwarder", "operator", "eraser"):
        files = {"ROUTER_REDIS__URL_FILE": "redis-url-" + role, "ROUTER_OPS__TOKEN_FILE": "ops-token"}
        found = load_settings(empty, {name: str(secrets / file) for name, file in files.items()})
        assert found.redis.url.startswith(f"redis://er-{role}:")
        assert found.ops.token is not None


def test_each_user_of_redis_has_the_password_of_its_url(secrets: Path) -> None:
    """The users are those of config/acl, each with its own password, and one that may only ask whether all is well."""
    users = {line.split()[1]: line for line in (secrets / "redis-users").read_text().splitlines()}
    wanted = {line.split()[1]: line for line in USERS.read_text().splitlines()}
    for role in ("ingress", "worker", "reconciler", "operator", "eraser"):
        password = re.findall(r":([0-9a-f]{64})@", (secrets / f"redis-url-{role}").read_text())[0]
        assert users[f"er-{role}"] == f"{wanted[f'er-{role}']} #{sha256(password.encode()).hexdigest()}"
    assert users["default"] == wanted["default"]
    assert users["health"] == "user health on nopass -@all +ping"
    roles = {"er-ingress", "er-worker", "er-reconciler", "er-forwarder", "er-operator", "er-eraser"}
    assert users.keys() == {"default", "admin", "health", *roles}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """Making them again keeps every secret, and writes each file in its place: it may be mounted."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "visma-net-financial").write_text("from-the-portal\n")
    make_secrets(folder)
    before = {file.name: (file.read_bytes(), file.stat().st_ino) for file in folder.iterdir()}
    make_secrets(folder)
    assert {file.name: (file.read_bytes(), file.stat().st_ino) for file in folder.iterdir()} == before
    assert before["visma-net-financial"][0] == b"from-the-portal\n"


def test_the_worker_to_begin_with_works() -> None:
    """The module that runs until the operator's own does is one that can be loaded."""
    (subscription,) = load_subscriptions([str(ROOT / "deploy/workers/my_worker.py")])
    assert subscription.name == "everything"
