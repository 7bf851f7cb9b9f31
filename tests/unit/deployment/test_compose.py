"""docker-compose.yml, the Dockerfile and their configuration, read as a specification: no container is needed."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.paths import ROOT

from summit_api.access import tokens
from summit_api.access.policy import Policy, parse
from summit_api.settings import Settings as ApiSettings
from summit_projector.settings import ProjectorSettings
from summit_runtime.settings import ProcessSettings
from summit_simulator.settings import read_settings
from summit_standalone import demo
from summit_standalone.embedded import postgres as embedded_postgres
from summit_watcher.config import datacenters as config
from summit_watcher.settings import WatcherSettings

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

NATS_SERVER = str(Path(sys.executable).with_name("nats-server"))

OURS = ("watcher", "projector", "api", "simulator")
SECRETS = {"NATS_PASSWORD", "POSTGRES_PASSWORD", "API_ADMIN_TOKEN"}
DEMO = ("simulator", "watcher-demo")


def _stages() -> dict[str, list[str]]:
    """Instructions of each stage, continued lines joined, with what the stage is made from as the first one."""
    stages: dict[str, list[str]] = {}
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            instructions = stages.setdefault(match[2], [])
        instructions.append(line)
    return stages


STAGES = _stages()


def _lineage(stage: str) -> list[str]:
    """Instructions that make the image of a stage, from its official image on."""
    base = STAGES[stage][0].split()[1]
    return (_lineage(base) if base in STAGES else []) + STAGES[stage]


def _last(instructions: list[str], name: str) -> str:
    return [line for line in instructions if line.startswith(f"{name} ")][-1].removeprefix(f"{name} ")


def _environment(service: str) -> dict[str, str]:
    """What the process sees: the image's variables under the service's, secrets filled in and defaults applied."""
    target = SERVICES[service]["build"]["target"]
    images = " ".join(line.removeprefix("ENV ") for line in _lineage(target) if line.startswith("ENV "))
    declared = dict(re.findall(r"(\w+)=(\S+)", images)) | SERVICES[service].get("environment", {})
    return {name: _interpolated(str(value)) for name, value in declared.items()}


def _interpolated(value: str) -> str:
    value = re.sub(r"\$\{API_ADMIN_TOKEN:\?[^}]*\}", tokens.new_token(), value)
    value = re.sub(r"\$\{\w+:\?[^}]*\}", "s3cret", value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


# The Dockerfile


@pytest.mark.parametrize("service", OURS)
def test_each_service_has_a_target_that_runs_its_package(service: str) -> None:
    """A target per service; exec form, so that SIGTERM reaches Python and not a shell."""
    assert STAGES[service][-1] == f'ENTRYPOINT ["python", "-m", "summit_{service}"]'


@pytest.mark.parametrize("service", [*OURS, "nats"])
def test_images_do_not_run_as_root(service: str) -> None:
    """A fixed number: volumes and mounted kubeconfigs keep their owner from one image to the next."""
    assert _last(STAGES[service] if service == "nats" else _lineage(service), "USER") == "10001:10001"


@pytest.mark.parametrize("service", OURS)
def test_an_image_carries_its_own_service_only(service: str) -> None:
    """Its extra, its package, and of the libraries those it may import."""
    build = STAGES[f"{service}-build"]
    syncs = [line for line in build if "uv sync" in line]
    copied = [line.split()[1] for line in build if line.startswith("COPY ") and "/" in line.split()[1]]
    libraries = ["libs/models", "libs/runtime", f"services/{service}"]
    assert all(line.endswith(f"--extra {service}") for line in syncs)
    assert copied == (["libs/simulator"] if service == "simulator" else libraries)
    assert STAGES[service][:2] == [f"FROM service AS {service}", f"COPY --from={service}-build /app/.venv /app/.venv"]


@pytest.mark.parametrize("service", OURS)
def test_dependencies_come_before_code(service: str) -> None:
    """A change of code leaves the layer of dependencies as it is."""
    build = STAGES[f"{service}-build"]
    dependencies, code = (line for line in build if "uv sync" in line)
    assert build.index(dependencies) < min(i for i, line in enumerate(build) if line.startswith("COPY "))
    assert "--no-install-project" in dependencies
    assert "--no-editable" in code


@pytest.mark.parametrize("service", OURS)
def test_images_are_what_uv_lock_says(service: str) -> None:
    """Neither a newer version nor a tool of development."""
    syncs = [line for line in STAGES[f"{service}-build"] if "uv sync" in line]
    assert all("--frozen --no-dev" in line for line in syncs)


@pytest.mark.parametrize("service", OURS)
def test_code_is_installed_without_uvs_cache(service: str) -> None:
    """Services built at the same time share the cache, and the api's image once got the watcher's code from it."""
    code = [line for line in STAGES[f"{service}-build"] if "uv sync" in line][-1]
    assert "--mount" not in code


@pytest.mark.parametrize("service", OURS)
def test_no_build_tool_is_in_an_image(service: str) -> None:
    """What installs things stays in the build stages."""
    assert not [line for line in _lineage(service) if re.search(r"\b(pip|uv|apt-get)\b", line)]


def test_services_stop_on_sigterm_and_log_without_buffering() -> None:
    """The last lines before the end of a container are in its log."""
    assert _last(STAGES["service"], "STOPSIGNAL") == "SIGTERM"
    assert "PYTHONUNBUFFERED=1" in _last(STAGES["base"], "ENV")


def test_the_dockerfile_builds_with_any_buildkit_and_no_second_registry() -> None:
    """No downloaded frontend, nothing that only newer ones know, nothing copied out of somebody else's image."""
    assert "syntax=" not in DOCKERFILE
    assert "<<" not in DOCKERFILE
    assert "--link" not in DOCKERFILE
    assert all(stage in STAGES for stage in re.findall(r"--from=(\S+)", DOCKERFILE))


def test_official_images_are_pinned() -> None:
    """A minor version for Python and NATS, a major one for Postgres: its data directory belongs to that."""
    bases = {line.split()[1] for line in re.findall(r"^FROM .*", DOCKERFILE, re.MULTILINE)} - STAGES.keys()
    assert bases == {"python:3.13-slim", "nats:2.15-alpine"}
    assert {s["image"] for s in SERVICES.values() if "image" in s} == {"postgres:18"}


def test_only_named_files_get_into_the_build() -> None:
    """A kubeconfig, .env or data directory can never end up in an image."""
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    allowed = {rule for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    assert allowed == {"!pyproject.toml", "!uv.lock", "!README.md", "!LICENSE", "!libs", "!services"}


# docker-compose.yml


def test_up_starts_the_product_and_the_demo_adds_a_simulated_fleet() -> None:
    """Without a profile, nothing simulated."""
    assert {name for name, s in SERVICES.items() if "profiles" not in s} == {
        "nats", "postgres", "watcher", "projector", "api",
    }  # fmt: skip
    assert {name: SERVICES[name]["profiles"] for name in DEMO} == {name: ["demo"] for name in DEMO}


@pytest.mark.parametrize("service", SERVICES)
def test_containers_can_do_little(service: str) -> None:
    """Read-only, no capabilities, no way to gain any; and they come back, with a bounded log."""
    container = SERVICES[service]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in container["tmpfs"]  # noqa: S108
    assert container["init"] is True
    assert container["restart"] == "unless-stopped"
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & container.keys()


def test_nobody_runs_as_root() -> None:
    """Images of ours name their user; Postgres' starts as root unless it is told."""
    assert SERVICES["postgres"]["user"] == "postgres"
    assert _interpolated(SERVICES["watcher"]["user"]) == "10001:10001"
    assert all("user" not in SERVICES[name] for name in ("nats", "projector", "api", "simulator"))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_tells_its_health(service: str) -> None:
    """Ours by readiness, asked with the Python that is there."""
    command, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert command == "CMD"
    if service in ("watcher", "watcher-demo", "projector", "api"):
        port = re.search(r"EXPOSE (\d+)", "\n".join(STAGES[SERVICES[service]["build"]["target"]]))
        assert port
        assert arguments[0] == "python"
        assert arguments[-2:] == [port[1], "/readyz"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_start_in_order(service: str) -> None:
    """Who needs NATS or Postgres starts when it is healthy."""
    container = SERVICES[service]
    environment = container.get("environment", {})
    conditions = {name: needed["condition"] for name, needed in container.get("depends_on", {}).items()}
    assert (conditions.get("nats") == "service_healthy") is ("NATS_URL" in environment)
    assert (conditions.get("postgres") == "service_healthy") is ("DATABASE_URL" in environment)


def test_a_missing_secret_stops_up() -> None:
    """Not the first request: and the sentence says what to do."""
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|TOKEN))(.*?)\}", COMPOSE_TEXT)
    assert {name for name, _ in secrets} == SECRETS
    assert {rule for _, rule in secrets} == {
        ":?run make up, it writes .env",
        ":?set it in .env, as .env.example says",
    }


def test_each_variable_is_explained_in_env_example() -> None:
    """.env.example is the page to look at; its defaults are those of the file, and its secrets are empty."""
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE_TEXT))
    assert example == defaults | dict.fromkeys(SECRETS, "")


def test_nothing_is_published_to_other_machines_unasked() -> None:
    """The API and the feed, on loopback, and not without a token. Postgres stays inside."""
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert {name: [_interpolated(port) for port in ports] for name, ports in published.items()} == {
        "nats": ["127.0.0.1:4222:4222"],
        "api": ["127.0.0.1:3001:3001"],
    }
    assert _environment("api")["API_ANONYMOUS_ROLE"] == "none"


def test_pages_of_names_are_ordered_as_by_the_embedded_postgres() -> None:
    """The locale decides on order and on indexes; both databases are made with the same one."""
    assert SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"] == f"--locale={embedded_postgres.LOCALE}"


def test_data_is_on_volumes() -> None:
    """Streams and tables survive their containers; Postgres 18 wants the volume above its data directory."""
    assert "nats:/data" in SERVICES["nats"]["volumes"]
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]
    named = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if not v.startswith(".")}
    assert named == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_files_of_this_machine_are_mounted_read_only(service: str) -> None:
    """And exist, so that docker does not make directories of their names."""
    mounts = [volume.split(":") for volume in SERVICES[service].get("volumes", []) if volume.startswith(".")]
    assert all((ROOT / source).exists() and mode == "ro" for source, _, mode in mounts)


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("watcher", WatcherSettings),
        ("watcher-demo", WatcherSettings),
        ("projector", ProjectorSettings),
        ("api", ApiSettings),
    ],
)
def test_services_understand_their_environment(
    service: str, settings: type[ProcessSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable exists, and what the process needs is there."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in _environment(service).items():
        monkeypatch.setenv(name, value)
    read = settings.from_environment()
    assert read.nats_url.get_secret_value() == "nats://summit:s3cret@nats:4222"


def test_the_watcher_can_be_limited_to_datacenters() -> None:
    """By one variable of .env; empty means all."""
    assert SERVICES["watcher"]["environment"]["WATCHER_DATACENTERS"] == "${WATCHER_DATACENTERS:-}"


# config/


def test_the_demo_has_four_clusters_in_three_datacenters() -> None:
    """Their kubeconfigs lie on the volume that the simulator writes, and nothing in the file is a mistake."""
    fleet = config.load(ROOT / "config/demo/datacenters.yaml")
    assert fleet.mistakes == ()
    assert (len(fleet.datacenters), len(fleet.clusters)) == (3, 4)
    assert [c.kubeconfig for c in fleet.clusters] == [Path(f"/kubeconfigs/{c.name}.kubeconfig") for c in fleet.clusters]


def test_the_demo_is_the_same_in_containers_and_without() -> None:
    """What one reads about it is true of both: datacenters, places, clusters, sizes, and the same fleet in them."""
    containers = config.load(ROOT / "config/demo/datacenters.yaml")
    assert [(d.id, d.name, d.location, d.coordinates) for d in containers.datacenters] == [
        (d.id, d.name, d.location, d.coordinates) for d in demo.DATACENTERS
    ]
    assert [[c.name for c in d.clusters] for d in containers.datacenters] == [
        list(d.vms_by_cluster) for d in demo.DATACENTERS
    ]
    simulator = read_settings(_environment("simulator"))
    assert dict(simulator.clusters) == {name: vms for d in demo.DATACENTERS for name, vms in d.vms_by_cluster.items()}
    assert simulator.seed == int(demo.SEED)
    assert simulator.rate == read_settings({}).rate


def test_the_simulator_simulates_the_clusters_of_the_demo() -> None:
    """Under the names, and in the order, of the demo's file; health is that of the last one."""
    simulator = read_settings(_environment("simulator"))
    fleet = config.load(ROOT / "config/demo/datacenters.yaml")
    last_port = simulator.base_port + len(simulator.clusters) - 1
    assert [cluster.name for cluster in simulator.clusters] == [cluster.name for cluster in fleet.clusters]
    assert simulator.advertise_host in SERVICES
    assert str(last_port) in SERVICES["simulator"]["healthcheck"]["test"][-1]


def test_nats_takes_its_configuration() -> None:
    """nats-server reads nats.conf with the user and password of its environment."""
    environment = {"NATS_USER": "summit", "NATS_PASSWORD": "s3cret"}
    command = [NATS_SERVER, "-t", "--config", str(ROOT / "config/nats.conf")]
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0


def test_nats_does_not_start_without_a_password() -> None:
    """No NATS that anybody may write to."""
    command = [NATS_SERVER, "-t", "--config", str(ROOT / "config/nats.conf")]
    refused = subprocess.run(command, env={"NATS_USER": "summit"}, check=False, capture_output=True)
    assert b"NATS_PASSWORD" in refused.stderr
    assert refused.returncode != 0


def test_nats_monitoring_is_for_its_own_container_only() -> None:
    """It asks for no password."""
    assert re.search(r'^http: "127\.0\.0\.1:8222"$', (ROOT / "config/nats.conf").read_text(), re.MULTILINE)


def test_a_watcher_may_only_read_virtual_machines() -> None:
    """No writing, no secrets, no wildcard: a stolen token shows inventory and changes nothing."""
    documents = list(yaml.safe_load_all((ROOT / "config/rbac/watcher.yaml").read_text()))
    rules = next(d["rules"] for d in documents if d["kind"] == "ClusterRole")
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]} == {
        ("kubevirt.io", "virtualmachines"),
        ("kubevirt.io", "virtualmachineinstances"),
        ("kubevirt.io", "virtualmachineinstancemigrations"),
        ("instancetype.kubevirt.io", "virtualmachineinstancetypes"),
        ("instancetype.kubevirt.io", "virtualmachineclusterinstancetypes"),
        ("", "namespaces"),
    }
    assert [rule.get("resourceNames") for rule in rules if rule["resources"] == ["namespaces"]] == [["kube-system"]]


def test_the_example_of_an_access_file_is_one() -> None:
    """As it is, and with its comments taken off but for the hashes, which are shortened there."""
    text = (ROOT / "config/access/access.example.yaml").read_text()
    assert parse(text) == Policy()
    lines = re.sub(r"(tokens|groups): \[\]", r"\1:", text).replace("\n#  -", "\n  -")
    numbers = iter("12")
    policy = parse(re.sub(r'"\w{4}…"', lambda _: f'"{next(numbers) * 64}"', lines))
    assert (len(policy.tokens), len(policy.groups)) == (2, 3)
