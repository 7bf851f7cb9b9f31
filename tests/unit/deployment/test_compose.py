"""docker-compose.yml, the Dockerfile and config/ keep their rules; no container is needed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import dockerfile
from support.dockerfile import STAGES, last, lineage
from support.paths import ROOT

from summit_api.access import tokens
from summit_api.access.policy import Policy, parse
from summit_api.settings import Settings as ApiSettings
from summit_projector.settings import ProjectorSettings
from summit_runtime.nats.rights import Role
from summit_runtime.settings import ProcessSettings
from summit_simulator.settings import read_settings
from summit_standalone import demo
from summit_standalone.embedded import postgres as embedded_postgres
from summit_watcher.config import datacenters as config
from summit_watcher.kube.resources import WATCHED
from summit_watcher.settings import WatcherSettings


class _Loader(yaml.SafeLoader):
    """Takes the tags of docker compose: `!reset []` for what an override removes."""


_Loader.add_constructor("!reset", lambda _loader, _node: None)

COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
OVERRIDES = {name: (ROOT / f"compose.{name}.yaml").read_text() for name in ("proxy", "per-datacenter")}
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

NATS_SERVER = str(Path(sys.executable).with_name("nats-server"))

OURS = ("watcher", "projector", "api", "simulator")
ROLES = tuple(f"NATS_{role.upper()}_PASSWORD" for role in Role if role is not Role.ADMIN)
SECRETS = {"NATS_PASSWORD", "POSTGRES_PASSWORD", "API_ADMIN_TOKEN"}
FALLS_BACK = "POSTGRES_API_PASSWORD"
"""A secret that an older .env does not have."""
READER = {"PROJECTOR_READER", "PROJECTOR_READER_PASSWORD"}
FIXED = {"NATS_URL", "DATABASE_URL", "WATCHER_CONFIG", "API_HOST", "API_PORT", "API_ADMIN_TOKEN", *READER}


def documented_settings() -> Iterator[tuple[str, str]]:
    """Each variable in the table of docs/operations.md, and the services that read it."""
    text = (ROOT / "docs/operations.md").read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    for names, who in re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", text, re.MULTILINE):
        yield from ((name, who) for name in re.findall(r"`(\w+)`", names))


def _environment(service: str) -> dict[str, str]:
    """The environment of the process: variables of the image and the service, with secrets and defaults filled in."""
    target = SERVICES[service]["build"]["target"]
    declared = dockerfile.environment(target) | SERVICES[service].get("environment", {})
    return {name: _interpolated(str(value)) for name, value in declared.items()}


def _interpolated(value: str) -> str:
    value = re.sub(r"\$\{API_ADMIN_TOKEN:\?[^}]*\}", tokens.new_token(), value)
    value = re.sub(r"\$\{\w+(:\?[^}]*)?\}", "s3cret", value)
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


# The Dockerfile


@pytest.mark.parametrize("service", OURS)
def test_each_service_has_a_target_that_runs_its_package(service: str) -> None:
    """The entry point has the exec form, so that SIGTERM reaches Python and not a shell."""
    assert STAGES[service][-1] == f'ENTRYPOINT ["python", "-m", "summit_{service}"]'


@pytest.mark.parametrize("service", [*OURS, "nats"])
def test_images_do_not_run_as_root(service: str) -> None:
    """The number is fixed, so that volumes and kubeconfigs keep their owner from one image to the next."""
    assert last(STAGES[service] if service == "nats" else lineage(service), "USER") == "10001:10001"


@pytest.mark.parametrize("service", OURS)
def test_an_image_carries_its_own_service_only(service: str) -> None:
    """It has its extra at the versions of uv.lock, its package, and the libraries that it may import.

    Services that are built at the same time share uv's cache, and the api's image once got the watcher's code from it.
    """
    build = STAGES[f"{service}-build"]
    syncs = [line for line in build if "uv sync" in line]
    copied = [line.split()[1] for line in build if line.startswith("COPY ") and "/" in line.split()[1]]
    libraries = ["libs/models", "libs/runtime", f"services/{service}"]
    assert all("--frozen --no-dev" in line and line.endswith(f"--extra {service}") for line in syncs)
    assert "--mount" not in syncs[-1]
    assert copied == (["libs/simulator"] if service == "simulator" else libraries)
    assert STAGES[service][:2] == [f"FROM service AS {service}", f"COPY --from={service}-build /app/.venv /app/.venv"]


@pytest.mark.parametrize("service", OURS)
def test_no_build_tool_is_in_an_image(service: str) -> None:
    """Tools that install stay in the build stages."""
    assert not [line for line in lineage(service) if re.search(r"\b(pip|uv|apt-get)\b", line)]


def test_only_named_files_get_into_the_build() -> None:
    """A kubeconfig, .env or data directory can never end up in an image."""
    rules = [r for r in (ROOT / ".dockerignore").read_text().splitlines() if r and not r.startswith("#")]
    allowed = {rule for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    assert allowed == {"!pyproject.toml", "!uv.lock", "!README.md", "!LICENSE", "!libs", "!services"}


# docker-compose.yml


@pytest.mark.parametrize("service", SERVICES)
def test_containers_can_do_little(service: str) -> None:
    """They are read-only and can gain no capabilities; they restart, and their logs are bounded."""
    container = SERVICES[service]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in container["tmpfs"]  # noqa: S108
    assert container["init"] is True
    assert container["restart"] == "unless-stopped"
    assert container["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & container.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_takes_the_memory_of_the_others(service: str) -> None:
    """Each has a limit. Python uses one core; a limit beyond the cores of a machine would stop the start there."""
    container = SERVICES[service]
    assert re.fullmatch(r"[12]g", container["mem_limit"])
    assert container.get("cpus", 1) == 1
    if service == "nats":
        assert container["environment"]["GOMEMLIMIT"] == "900MiB"


def test_nobody_runs_as_root() -> None:
    """Our images name their user; the image of Postgres starts as root unless compose names one."""
    assert SERVICES["postgres"]["user"] == "postgres"
    assert _interpolated(SERVICES["watcher"]["user"]) == "10001:10001"
    assert all("user" not in SERVICES[name] for name in ("nats", "projector", "api", "simulator"))


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_a_health_check(service: str) -> None:
    """Our services are checked by their readiness, with the Python of their image."""
    command, *arguments = SERVICES[service]["healthcheck"]["test"]
    assert command == "CMD"
    if service in ("watcher", "watcher-demo", "projector", "api"):
        assert arguments[0] == "python"
        assert arguments[-2:] == [str(dockerfile.port(SERVICES[service]["build"]["target"])), "/readyz"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_start_in_order(service: str) -> None:
    """A service that needs NATS or Postgres starts when that is healthy."""
    container = SERVICES[service]
    environment = container.get("environment", {})
    conditions = {name: needed["condition"] for name, needed in container.get("depends_on", {}).items()}
    assert (conditions.get("nats") == "service_healthy") is ("NATS_URL" in environment)
    assert (conditions.get("postgres") == "service_healthy") is ("DATABASE_URL" in environment)


def test_a_missing_secret_stops_up() -> None:
    """The message names the remedy."""
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|TOKEN))(:\?.*?)\}", COMPOSE_TEXT)
    assert {name for name, _ in secrets} == SECRETS
    assert {rule for _, rule in secrets} == {
        ":?run make up, it writes .env",
        ":?set it in .env, as .env.example says",
    }


def test_each_variable_is_explained_in_env_example() -> None:
    """The defaults in .env.example are those of compose, and its secrets are empty."""
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", "".join((COMPOSE_TEXT, *OVERRIDES.values()))))
    assert example == defaults | dict.fromkeys((*SECRETS, *ROLES, FALLS_BACK), "")


def test_a_role_of_nats_without_a_password_has_the_one_that_all_had() -> None:
    """A .env of before there were roles has NATS_PASSWORD only."""
    passwords = SERVICES["nats"]["environment"]
    assert {name: passwords[name] for name in ROLES} == {name: f"${{{name}:-${{NATS_PASSWORD}}}}" for name in ROLES}


def test_the_api_may_only_read_the_tables() -> None:
    """Its user is the one that the projector makes. A .env of before there was a password of its own keeps working."""
    projector, api = _environment("projector"), _environment("api")
    user, password = projector["PROJECTOR_READER"], projector["PROJECTOR_READER_PASSWORD"]
    assert api["DATABASE_URL"] == f"postgresql://{user}:{password}@postgres:5432/summit"
    assert projector["DATABASE_URL"].startswith("postgresql://summit:")
    assert COMPOSE["x-reader-password"] == f"${{{FALLS_BACK}:-${{POSTGRES_PASSWORD}}}}"


def test_nothing_is_published_to_other_machines_unasked() -> None:
    """All is published on the loopback. The API needs a token, and what needs none stays there whatever .env says."""
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert {name: [_interpolated(port) for port in ports] for name, ports in published.items()} == {
        "nats": ["127.0.0.1:4222:4222"],
        "api": ["127.0.0.1:3001:3001"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    assert all(port.startswith("127.0.0.1:") for name in ("prometheus", "grafana") for port in published[name])
    assert _environment("api")["API_ANONYMOUS_ROLE"] == "none"


def test_names_are_ordered_as_by_the_embedded_postgres() -> None:
    """The locale decides on the order and on indexes, and is the same for both databases."""
    assert SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"] == f"--locale={embedded_postgres.LOCALE}"


def test_data_is_on_volumes() -> None:
    """Streams and tables outlive their containers; Postgres 18 needs the volume above its data directory."""
    assert "nats:/data" in SERVICES["nats"]["volumes"]
    assert "postgres:/var/lib/postgresql" in SERVICES["postgres"]["volumes"]
    named = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if not v.startswith(".")}
    assert named == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("service", SERVICES)
def test_files_of_this_machine_are_mounted_read_only(service: str) -> None:
    """They exist, since docker would make directories of their names."""
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
    """Each variable is known, and each required one is there."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in _environment(service).items():
        monkeypatch.setenv(name, value)
    read = settings.from_environment()
    assert read.nats_url.get_secret_value() == f"nats://{service.removesuffix('-demo')}:s3cret@nats:4222"


@pytest.mark.parametrize(("name", "who"), list(documented_settings()))
def test_documented_settings_reach_the_containers(name: str, who: str) -> None:
    """A line in .env changes them, except addresses and ports inside the network, and paths that are mounted there.

    16 of them had no effect. An empty variable counts as one that is not set.
    """
    for service in ("watcher", "projector", "api") if who == "all" else who.split(", "):
        assert name in _environment(service)
        if name not in FIXED and not name.endswith(("_PROBE_HOST", "_PROBE_PORT")):
            assert re.fullmatch(rf"\$\{{{name}:-.*\}}", SERVICES[service]["environment"][name])


# Overrides


def test_each_datacenter_may_have_a_watcher_service() -> None:
    """It is the service of all datacenters with another setting, and takes its place."""
    watchers = _services("per-datacenter")
    assert watchers.pop("watcher") == {"deploy": {"replicas": 0}}
    for name, service in watchers.items():
        assert service["extends"] == {"file": "docker-compose.yml", "service": "watcher"}
        assert service["environment"] == {"WATCHER_DATACENTERS": name.removeprefix("watcher-")}


def test_proxy_stands_before_all_apis() -> None:
    """Several cannot publish one port. They take addresses of clients from the proxy, and share the key of tickets."""
    services = _services("proxy")
    assert services["api"]["ports"] is None
    assert services["api"]["environment"]["API_TICKET_KEY"].startswith("${API_TICKET_KEY:?")
    caddyfile = (ROOT / "config/Caddyfile").read_text()
    assert re.findall(r"^\t\t\t(name|port) (\w+)$", caddyfile, re.MULTILINE) == [("name", "api"), ("port", "3001")]
    assert "flush_interval -1" in caddyfile
    proxy = services["proxy"]
    assert [_interpolated(port) for port in proxy["ports"]] == ["127.0.0.1:443:443"]
    assert (proxy["read_only"], proxy["cap_drop"], proxy["restart"]) == (True, ["ALL"], "unless-stopped")


def _services(override: str) -> dict[str, dict[str, Any]]:
    return dict(yaml.load(OVERRIDES[override], Loader=_Loader)["services"])  # noqa: S506  a safe one, with a tag


# config/


def test_the_demo_has_four_clusters_in_three_datacenters() -> None:
    """The file has no mistakes, and its kubeconfigs lie on the volume that the simulator writes."""
    fleet = config.load(ROOT / "config/demo/datacenters.yaml")
    assert fleet.mistakes == ()
    assert (len(fleet.datacenters), len(fleet.clusters)) == (3, 4)
    assert [c.kubeconfig for c in fleet.clusters] == [Path(f"/kubeconfigs/{c.name}.kubeconfig") for c in fleet.clusters]


def test_the_demo_is_the_same_in_containers_and_without() -> None:
    """Both have the same datacenters, places, clusters, sizes and fleets, so the docs hold for both."""
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


def test_the_simulator_is_reached_by_the_name_of_its_service() -> None:
    """Its health is that of the last cluster that it starts."""
    simulator = read_settings(_environment("simulator"))
    last_port = simulator.base_port + len(simulator.clusters) - 1
    assert simulator.advertise_host in SERVICES
    assert str(last_port) in SERVICES["simulator"]["healthcheck"]["test"][-1]


def test_nats_takes_its_configuration() -> None:
    """nats-server reads nats.conf with the passwords of its environment."""
    environment = dict.fromkeys(("NATS_PASSWORD", *ROLES), "s3cret")
    command = [NATS_SERVER, "-t", "--config", str(ROOT / "config/nats.conf")]
    assert subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 0


def test_nats_does_not_start_without_a_password() -> None:
    """Without one anybody could write to it."""
    command = [NATS_SERVER, "-t", "--config", str(ROOT / "config/nats.conf")]
    for missing in (names := ("NATS_PASSWORD", *ROLES)):
        environment = dict.fromkeys((name for name in names if name != missing), "s3cret")
        refused = subprocess.run(command, env=environment, check=False, capture_output=True)
        assert missing.encode() in refused.stderr
        assert refused.returncode != 0


def test_nats_monitoring_is_for_its_own_container_only() -> None:
    """It needs no password."""
    assert re.search(r'^http: "127\.0\.0\.1:8222"$', (ROOT / "config/nats.conf").read_text(), re.MULTILINE)


def test_a_watcher_may_only_read_what_it_watches() -> None:
    """It may not write, read secrets or use wildcards: a stolen token shows the inventory and changes nothing."""
    documents = list(yaml.safe_load_all((ROOT / "config/rbac/watcher.yaml").read_text()))
    rules = next(d["rules"] for d in documents if d["kind"] == "ClusterRole")
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]} == {
        *((resource.group, resource.plural) for resource in WATCHED),
        ("", "namespaces"),
    }
    assert [rule.get("resourceNames") for rule in rules if rule["resources"] == ["namespaces"]] == [["kube-system"]]


def test_the_example_of_an_access_file_is_valid() -> None:
    """It is valid as it is, and without the comment signs once its shortened hashes are filled in."""
    text = (ROOT / "config/access/access.example.yaml").read_text()
    assert parse(text) == Policy()
    lines = re.sub(r"(tokens|groups): \[\]", r"\1:", text).replace("\n#  -", "\n  -")
    numbers = iter("12")
    policy = parse(re.sub(r'"\w{4}…"', lambda _: f'"{next(numbers) * 64}"', lines))
    assert (len(policy.tokens), len(policy.groups)) == (2, 3)
