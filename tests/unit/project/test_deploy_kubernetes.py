"""What the manifests of deploy/kubernetes promise, and that they agree with each other and with the settings."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from config.sources import load_settings
from router.events.catalogue import Catalogue

ROOT = Path(__file__).parents[3]
BASE = ROOT / "deploy/kubernetes/base"
COMPONENTS = ROOT / "deploy/kubernetes/components"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
COMPONENT = "app.kubernetes.io/component"
DRAIN = 5
"""Seconds that a pod which is to end goes on taking requests."""


def read(file: Path) -> list[dict[str, Any]]:
    """Return the objects of a file."""
    return [found for found in yaml.safe_load_all(file.read_text()) if found]


FORWARDS = COMPONENTS / "forward"
OBJECTS = [
    found
    for file in (*(BASE / name for name in KUSTOMIZATION["resources"]), *sorted(FORWARDS.glob("[!k]*.yaml")))
    for found in read(file)
]
WORKLOADS = {found["metadata"]["name"]: found for found in OBJECTS if found["kind"] in ("Deployment", "StatefulSet")}
INGRESS, WORKER = WORKLOADS["event-router-ingress"], WORKLOADS["event-router-worker"]
FORWARD = WORKLOADS["event-router-forward"]


def pod(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a workload's pods are to be."""
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def container(workload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the only container of a workload's pods."""
    (found,) = pod(workload)["containers"]
    return dict(found)


def variables(workload: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a workload's container."""
    return {one["name"]: one["value"] for one in container(workload)["env"]}


def named(kind: str, name: str) -> dict[str, Any]:
    """Return the spec of the object of a kind and a name."""
    (found,) = (found for found in OBJECTS if (found["kind"], found["metadata"]["name"]) == (kind, name))
    return dict(found["spec"])


def test_every_file_is_part_of_it() -> None:
    """No manifest lies beside the others without being applied."""
    for folder in (BASE, *COMPONENTS.iterdir()):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        assert sorted(listed) == sorted({file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"})


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_restricted(name: str) -> None:
    """Each pod passes the strictest standard for pods, which the namespace demands, and cannot be written to."""
    spec, security = pod(WORKLOADS[name]), container(WORKLOADS[name])["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10_001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    (namespace,) = (found["metadata"] for found in OBJECTS if found["kind"] == "Namespace")
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["name"] == KUSTOMIZATION["namespace"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_and_limits(name: str) -> None:
    """Each container is probed at its operations port, life apart from readiness, and its memory has a limit."""
    found = container(WORKLOADS[name])
    paths = {kind: found[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert all(found[f"{kind}Probe"]["httpGet"]["port"] == "ops" for kind in paths)
    assert {port["name"]: port["containerPort"] for port in found["ports"]}["ops"] == Settings().ops.port
    assert found["resources"]["limits"]["memory"]
    assert found["resources"]["requests"].keys() == {"cpu", "memory"}


def test_pods_are_given_the_time_they_need_to_stop() -> None:
    """An orderly stop takes as long as the settings allow, after the time in which others forget an ingress."""
    settings = Settings()
    assert container(INGRESS)["lifecycle"]["preStop"] == {"sleep": {"seconds": DRAIN}}
    grace = pod(INGRESS)["terminationGracePeriodSeconds"]
    assert grace > DRAIN + 2 * settings.ingress.shutdown_timeout
    for workload in (WORKER, FORWARD):
        assert pod(workload)["terminationGracePeriodSeconds"] > settings.workers.shutdown_timeout


def test_the_spool_outlives_its_pod() -> None:
    """Ingress keeps its disk, with room for all that it may spool, also when there are fewer pods for a while."""
    (claim,) = INGRESS["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(INGRESS)["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/data"
    room = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3
    assert room > Settings().ingress.spool_max_bytes
    assert set(INGRESS["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_secrets_are_files_that_are_mounted(name: str) -> None:
    """No secret is in the environment: each file that a variable names is mounted from the Secret, and no other is."""
    mounted = {volume["name"]: volume for volume in pod(WORKLOADS[name])["volumes"]}["secrets"]["secret"]
    (path,) = (m["mountPath"] for m in container(WORKLOADS[name])["volumeMounts"] if m["name"] == "secrets")
    files = {value for key, value in variables(WORKLOADS[name]).items() if key.endswith("_FILE")}
    assert files == {f"{path}/{item['path']}" for item in mounted["items"]}
    assert mounted["defaultMode"] == 0o440


def test_ingress_has_a_secret_for_each_publisher() -> None:
    """A publisher that is added to the catalogue is not forgotten here."""
    wanted = {f"ROUTER_SECRETS__{slug.replace('-', '_').upper()}_FILE" for slug in Catalogue.load().publishers}
    assert wanted <= variables(INGRESS).keys()


def test_nothing_is_reached_that_is_not_meant_to_be() -> None:
    """All pods are closed; webhooks come from the ingress controller alone, metrics are for the monitoring alone."""
    closed = named("NetworkPolicy", "nothing-else")
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (webhooks,) = named("NetworkPolicy", "webhooks")["ingress"]
    assert [port["port"] for port in webhooks["ports"]] == [Settings().ingress.port]
    (metrics,) = named("NetworkPolicy", "metrics")["ingress"]
    assert [port["port"] for port in metrics["ports"]] == [Settings().ops.port]
    assert webhooks["from"]
    assert metrics["from"]
    services = [found["spec"] for found in OBJECTS if found["kind"] == "Service"]
    assert all(port["targetPort"] == "webhooks" for service in services for port in service["ports"])
    (rule,) = named("Ingress", "event-router")["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/webhooks"]
    assert named("Ingress", "event-router")["tls"][0]["hosts"] == [rule["host"]]


def test_selectors_find_their_pods() -> None:
    """Services, disruption budgets, spreads and policies name labels that pods have."""
    labels = {workload["spec"]["template"]["metadata"]["labels"][COMPONENT] for workload in WORKLOADS.values()}
    assert labels == {"ingress", "worker", "forward"}
    for workload in WORKLOADS.values():
        own = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == own
        spreads = pod(workload)["topologySpreadConstraints"]
        assert all(spread["labelSelector"]["matchLabels"] == own for spread in spreads)
    budgets = [found["spec"]["selector"]["matchLabels"] for found in OBJECTS if found["kind"] == "PodDisruptionBudget"]
    assert {budget[COMPONENT] for budget in budgets} == labels
    assert {monitor["spec"]["selector"]["matchLabels"][COMPONENT] for monitor in monitors()} == labels


def monitors() -> list[dict[str, Any]]:
    """Return what the Prometheus operator is told."""
    return read(COMPONENTS / "metrics/pod-monitor.yaml")


def test_metrics_have_the_jobs_of_the_alerts() -> None:
    """The jobs are called as in config/prometheus, where the alerts look for them, and the token is brought along."""
    scraped = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())["scrape_configs"]
    jobs = {
        relabeling["replacement"]
        for monitor in monitors()
        for endpoint in monitor["spec"]["podMetricsEndpoints"]
        for relabeling in endpoint["relabelings"]
        if relabeling["targetLabel"] == "job"
    }
    assert jobs <= {job["job_name"] for job in scraped}
    keys = {item["key"] for v in pod(INGRESS)["volumes"] if v["name"] == "secrets" for item in v["secret"]["items"]}
    for monitor in monitors():
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert endpoint["authorization"]["credentials"]["key"] in keys


def test_forwards_are_settings_of_their_own() -> None:
    """The forwards' file names secrets where they are mounted, and each may reach its receiver."""
    text = (FORWARDS / "router.toml").read_text()
    settings = load_settings(FORWARDS / "router.toml", {})
    assert (settings.ops.host, settings.forward) == ("0.0.0.0", ())
    mounts = {mount["name"]: mount["mountPath"] for mount in container(FORWARD)["volumeMounts"]}
    example = tomllib.loads(text[text.index("# [[forward]]") : text.index("[ops]")].replace("# ", ""))
    assert [Path(one["secret_file"]).parent.as_posix() for one in example["forward"]] == [mounts["receivers"]]
    volumes = {volume["name"]: volume for volume in pod(FORWARD)["volumes"]}
    (made,) = yaml.safe_load((FORWARDS / "kustomization.yaml").read_text())["configMapGenerator"]
    assert volumes["settings"]["configMap"]["name"] == made["name"]
    assert volumes.keys() == mounts.keys()
    (rule,) = named("NetworkPolicy", "what-forwards-post-to")["egress"]
    assert [port["port"] for port in rule["ports"]] == [443]
    assert named("NetworkPolicy", "what-forwards-post-to")["podSelector"]["matchLabels"][COMPONENT] == "forward"


@pytest.mark.parametrize("folder", sorted(COMPONENTS.iterdir()), ids=lambda folder: folder.name)
def test_components_are_where_the_pods_are(folder: Path) -> None:
    """What a component adds to an overlay without a namespace of its own is in the namespace of the pods."""
    assert yaml.safe_load((folder / "kustomization.yaml").read_text())["namespace"] == KUSTOMIZATION["namespace"]


def test_workers_follow_a_metric_that_exists() -> None:
    """What KEDA asks for is a metric of ours, and it scales the workers that there are, never down to none."""
    (scaled,) = read(COMPONENTS / "lag/scaled-object.yaml")
    (trigger,) = scaled["spec"]["triggers"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in WORKLOADS
    assert scaled["spec"]["minReplicaCount"] >= 1
    assert "event_router_subscription_lag_events" in trigger["metadata"]["query"]
    assert "`event_router_subscription_lag_events`" in (ROOT / "docs/metrics.md").read_text()


def test_the_settings_are_taken() -> None:
    """The settings file is one that the router takes, and the image has the version of the project."""
    assert load_settings(BASE / "router.toml", {}).ops.host == "0.0.0.0"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert [image["newTag"] for image in KUSTOMIZATION["images"]] == [version]
    assert (BASE / "my_worker.py").read_bytes() == (ROOT / "deploy/workers/my_worker.py").read_bytes()
