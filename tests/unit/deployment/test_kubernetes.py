"""deploy/ is what Kubernetes takes, keeps its rules, and names only what exists; no cluster is needed."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from fastapi.routing import APIRoute
from support import dockerfile
from support.manifests import BASE, EDGE, EXAMPLE, Manifest, manifests, name_of, of_kind, read_back
from support.paths import ROOT

from summit_api.access import tokens
from summit_api.routes.probes import router as api_probes
from summit_api.settings import Settings as ApiSettings
from summit_projector.settings import ProjectorSettings
from summit_runtime.probes import serve_probes
from summit_runtime.settings import ProcessSettings
from summit_standalone.embedded import nats as embedded_nats
from summit_standalone.embedded.server_process import free_port
from summit_watcher.config import datacenters as config
from summit_watcher.kube.access import kubeconfig_file
from summit_watcher.settings import WatcherSettings

HUB = [*manifests(BASE), *manifests(EXAMPLE)]
INSIDE = [*manifests(EDGE), *manifests(ROOT / "config/rbac")]
DEPLOYMENTS = {
    **{f"hub-{name}": found for name, found in of_kind("Deployment", HUB).items()},
    "edge-watcher": of_kind("Deployment", INSIDE)["watcher"],
}
SETTINGS: Mapping[str, type[ProcessSettings]] = {
    "watcher": WatcherSettings,
    "projector": ProjectorSettings,
    "api": ApiSettings,
}
NATS_CONF, NATS_USERS = ((ROOT / "config" / name).read_text() for name in ("nats.conf", "nats-users.conf"))
TOKENS = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the token of a service account into a pod."""
PAGES = "\n".join((ROOT / "docs" / page).read_text() for page in ("kubernetes.md", "watchers-at-the-edge.md"))

deployments = pytest.mark.parametrize("name", DEPLOYMENTS)


def _pod(name: str) -> dict[str, Any]:
    return dict(DEPLOYMENTS[name]["spec"]["template"]["spec"])


def _container(name: str) -> dict[str, Any]:
    (container,) = _pod(name)["containers"]
    return dict(container)


def _service(name: str) -> str:
    return name.partition("-")[2]


def _environment(name: str) -> dict[str, str]:
    """The variables of the process: those of the image and the pod. Secrets have a value of their kind."""
    secrets = {"url": "nats://summit:s3cret@nats:4222", "admin-token": tokens.new_token(), "ticket-key": "k" * 32}
    found = dockerfile.environment(_service(name))
    for variable in _container(name)["env"]:
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            is_postgres = reference["name"] == "postgres"
            kind = "url" if reference["key"].endswith("url") else reference["key"]
            found[variable["name"]] = "postgresql://summit:s3cret@postgres/summit" if is_postgres else secrets[kind]
        else:
            found[variable["name"]] = variable["value"]
    return found


def _references() -> Iterator[tuple[str, str]]:
    """Each key of a Secret that a pod wants."""
    for name in DEPLOYMENTS:
        for variable in _container(name)["env"]:
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                yield reference["name"], reference["key"]


@pytest.mark.parametrize("manifest", [*HUB, *INSIDE], ids=name_of)
def test_each_manifest_is_what_kubernetes_takes(manifest: Manifest) -> None:
    """Each member exists, has its type, and none that is required is missing."""
    assert read_back(manifest) == manifest


def test_a_mistake_in_a_manifest_is_noticed() -> None:
    """A misspelt member is missing; a value of another type and a required member that is not there are errors."""
    service = of_kind("Service", HUB)["api"]
    assert read_back({**service, "sepc": {}}) == service
    with pytest.raises(ValueError, match="valid string"):
        read_back({**service, "metadata": {"name": 5}})
    with pytest.raises(ValueError, match="selector"):
        read_back({**of_kind("Deployment", HUB)["api"], "spec": {"template": {}}})


# Pods


@deployments
def test_pods_can_do_little(name: str) -> None:
    """They are not root, cannot become it, have no capabilities and write nothing but /tmp."""
    pod, container = _pod(name), _container(name)
    user = int(dockerfile.last(dockerfile.lineage(_service(name)), "USER").partition(":")[0])
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")] == ["/tmp"]  # noqa: S108
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["automountServiceAccountToken"] is name.startswith("edge")


@deployments
def test_pods_have_bounds_and_no_limit_of_cpu(name: str) -> None:
    """A process that is held back loses its leases; one that takes too much memory ends itself only."""
    resources = _container(name)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert resources["limits"].keys() == {"memory"}


@deployments
def test_pods_understand_their_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable is a setting, and each required one is there.

    Kubernetes would add API_SERVICE_HOST and others for the Service of the api, which are unknown and stop the start.
    """
    for variable in os.environ:
        monkeypatch.delenv(variable)
    for variable, value in _environment(name).items():
        monkeypatch.setenv(variable, value)
    read = SETTINGS[_service(name)].from_environment()
    assert {type(read)._variable(field) for field in read.model_fields_set} == _environment(name).keys() - {
        "PATH",
        "PYTHONUNBUFFERED",
    }
    assert _pod(name)["enableServiceLinks"] is False


@deployments
async def test_probes_ask_what_the_image_serves(name: str) -> None:
    """Port and paths exist; the probes of watcher and projector are asked for real."""
    container = _container(name)
    assert container["ports"] == [{"name": "http", "containerPort": dockerfile.port(_service(name))}]
    probes = [container[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert probes == [{"path": path, "port": "http"} for path in ("/livez", "/readyz")]
    if _service(name) == "api":
        assert {"/livez", "/readyz"} <= {route.path for route in api_probes.routes if isinstance(route, APIRoute)}
        return
    port = free_port()
    async with serve_probes("127.0.0.1", port, {}), aiohttp.ClientSession() as session:
        for probe in probes:
            url = f"http://127.0.0.1:{port}{probe['path']}"
            assert (await session.get(url, allow_redirects=False)).status == 200


@deployments
def test_images_are_targets_of_the_dockerfile(name: str) -> None:
    """An overlay says where they are."""
    assert _container(name)["image"] == f"summit-connect/{_service(name)}"
    example = yaml.safe_load(((EDGE if name.startswith("edge") else EXAMPLE) / "kustomization.yaml").read_text())
    assert _container(name)["image"] in [image["name"] for image in example["images"]]


def test_each_secret_is_made_on_a_page() -> None:
    """Its name and its keys, in a command that one can copy."""
    commands = re.findall(r"^(?:secret|.* create secret generic) (\S+) (--from.*)$", PAGES, re.MULTILINE)
    made = {(name, key) for name, options in commands for key in re.findall(r"--from-\w+=([\w-]+)=", options)}
    assert {*_references()} <= made
    assert "kubeconfigs" in {name for name, _ in made}


# Files


@deployments
def test_mounted_volumes_exist(name: str) -> None:
    """Each mount has a volume, and each volume a mount."""
    assert {mount["name"] for mount in _container(name)["volumeMounts"]} == {v["name"] for v in _pod(name)["volumes"]}


@pytest.mark.parametrize(("name", "directory"), [("hub-watcher", EXAMPLE), ("edge-watcher", EDGE)])
def test_a_watcher_finds_its_configuration(name: str, directory: Path) -> None:
    """WATCHER_CONFIG lies on the mounted ConfigMap, has no mistake, and its kubeconfigs are mounted, too."""
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in _container(name)["volumeMounts"]}
    maps = {v["configMap"]["name"]: mounts[v["name"]] for v in _pod(name)["volumes"] if "configMap" in v}
    (made,) = yaml.safe_load((directory / "kustomization.yaml").read_text())["configMapGenerator"]
    assert Path(_environment(name)["WATCHER_CONFIG"]) == maps[made["name"]] / "datacenters.yaml"
    fleet = config.load(directory / "datacenters.yaml")
    assert fleet.mistakes == ()
    assert made["files"][0] == "datacenters.yaml"
    files = {maps[made["name"]] / file for file in made["files"]}
    assert all(c.kubeconfig in files or c.kubeconfig.parent == mounts.get("kubeconfigs") for c in fleet.clusters)


def test_the_watcher_inside_a_cluster_uses_its_service_account() -> None:
    """Its kubeconfig names the address of the API server in every cluster, and the files that Kubernetes mounts."""
    read = kubeconfig_file.read(EDGE / "kubeconfig.yaml")
    assert read.url == "https://kubernetes.default.svc"
    assert set(read.named_files) == {TOKENS / "ca.crt", TOKENS / "token"}
    assert not read.holds_secrets
    assert _pod("edge-watcher")["serviceAccountName"] in of_kind("ServiceAccount", INSIDE)


# What belongs together


@pytest.mark.parametrize("among", [HUB, INSIDE], ids=["hub", "edge"])
def test_selectors_select_pods(among: list[Manifest]) -> None:
    """Of Deployments, Services, PodDisruptionBudgets and NetworkPolicies; each port of a Service is one of its pods."""
    pods = [found["spec"]["template"]["metadata"]["labels"] for found in of_kind("Deployment", among).values()]
    for manifest in among:
        spec = manifest.get("spec", {})
        selector = spec.get("podSelector", spec.get("selector", {}))
        labels = selector.get("matchLabels", selector if manifest["kind"] == "Service" else {})
        assert any(labels.items() <= pod.items() for pod in pods), name_of(manifest)
    for rule in (r for ingress in of_kind("Ingress", among).values() for r in ingress["spec"]["rules"]):
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = of_kind("Service", among)[backend["name"]]["spec"]["ports"]
            assert backend["port"]["name"] in [port["name"] for port in ports]


def test_each_deployment_has_replicas_and_a_disruption_budget() -> None:
    """A machine that is emptied takes one pod of each at a time."""
    found = of_kind("Deployment", HUB)
    assert all(deployment["spec"]["replicas"] >= 2 for deployment in found.values())
    assert of_kind("PodDisruptionBudget", HUB).keys() == found.keys()


@deployments
def test_a_pod_may_talk_to_what_it_needs_and_to_nothing_else(name: str) -> None:
    """All traffic is denied but to NATS, Postgres, API servers or issuers, and names; each where the pod needs it."""
    among = INSIDE if name.startswith("edge") else HUB
    policies = list(of_kind("NetworkPolicy", among).values())
    labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"].items()
    chosen = [p["spec"] for p in policies if p["spec"]["podSelector"].get("matchLabels", {}).items() <= labels]
    denied = {direction for policy in chosen for direction in policy["policyTypes"]}
    assert denied == {"Ingress", "Egress"}
    rules = [rule for policy in chosen for rule in policy.get("egress", [])]
    needed = {"NATS_URL": {4222}, "DATABASE_URL": {5432}}
    ports = {53, 443}.union(*(needed.get(variable, set()) for variable in _environment(name)))
    ports -= {443} if _service(name) == "projector" else set()
    ports |= {6443} if _service(name) == "watcher" else set()
    assert {port["port"] for rule in rules for port in rule["ports"]} == ports


# NATS


def _takes(file: Path) -> str:
    """What nats-server says of a configuration, with every variable set; nothing if it takes it."""
    variables = dict.fromkeys(re.findall(r"\$(\w+)", NATS_CONF + NATS_USERS + file.read_text()), "s3cret")
    command = [embedded_nats._binary(), "-t", "--config", str(file)]
    checked = subprocess.run(command, env=variables, check=False, capture_output=True, text=True)
    return checked.stderr if checked.returncode else ""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate, as Kubernetes mounts it."""
    directory = tmp_path_factory.mktemp("tls")
    made = trustme.CA().issue_cert("nats.example.com")
    made.private_key_pem.write_to_path(directory / "tls.key")
    made.cert_chain_pems[0].write_to_path(directory / "tls.crt")
    return directory


def test_nats_takes_the_configuration_of_the_hub(tmp_path: Path, certificate: Path) -> None:
    """It is config/nats.conf with TLS."""
    text = (EDGE / "nats-hub.conf").read_text()
    assert text.count("/etc/nats/tls/tls.crt") == 2
    (tmp_path / "nats-hub.conf").write_text(text.replace("/etc/nats/tls", str(certificate)))
    (tmp_path / "nats.conf").write_text(NATS_CONF)
    (tmp_path / "nats-users.conf").write_text(NATS_USERS)
    assert _takes(tmp_path / "nats-hub.conf") == ""


def test_nats_takes_what_the_helm_values_add(tmp_path: Path, certificate: Path) -> None:
    """The chart merges it into its own configuration, and writes << … >> without quotes."""
    config = yaml.safe_load((ROOT / "deploy/nats/values.yaml").read_text())["config"]
    tls = {"cert_file": str(certificate / "tls.crt"), "key_file": str(certificate / "tls.key")}
    merged = {
        "tls": tls,
        "websocket": {"port": config["websocket"]["port"], "tls": tls},
        "jetstream": {"store_dir": str(tmp_path), **config["jetstream"]["merge"]},
        **config["merge"],
    }
    (tmp_path / "nats.conf").write_text(re.sub(r'"<< (.*?) >>"', r"\1", json.dumps(merged)))
    assert _takes(tmp_path / "nats.conf") == ""
