"""What `kubectl kustomize` makes of deploy/: whole, valid, and nothing that names something else is left behind."""

import shutil
import subprocess
from pathlib import Path

import pytest
from support.manifests import BASE, EDGE, EXAMPLE, Manifest, name_of, of_kind, parsed, read_back

pytestmark = pytest.mark.kubectl


def rendered(directory: Path) -> list[Manifest]:
    kubectl = shutil.which("kubectl")
    assert kubectl, "kubectl is not installed: https://kubernetes.io/docs/tasks/tools/, or Debian's kubernetes-client"
    made = subprocess.run([kubectl, "kustomize", str(directory)], check=False, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return list(parsed(made.stdout))


@pytest.mark.parametrize("directory", [BASE, EXAMPLE, EDGE], ids=["base", "example", "edge"])
def test_all_that_is_rendered_is_valid_and_in_one_namespace(directory: Path) -> None:
    """Kubernetes takes each object, and none appears twice."""
    found = rendered(directory)
    assert [name_of(manifest) for manifest in found if read_back(manifest) != manifest] == []
    assert len({name_of(manifest) for manifest in found}) == len(found)
    namespaced = [m for m in found if m["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding")]
    assert {manifest["metadata"]["namespace"] for manifest in namespaced} == {"summit-connect"}


def test_the_example_changes_what_it_says() -> None:
    """Names of images, numbers of replicas, and variables of the api beside those of the base."""
    found = of_kind("Deployment", rendered(EXAMPLE))
    containers = {name: deployment["spec"]["template"]["spec"]["containers"][0] for name, deployment in found.items()}
    assert {name: container["image"] for name, container in containers.items()} == {
        name: f"registry.example.com/summit-connect/{name}:0.1.0" for name in ("api", "projector", "watcher")
    }
    assert {name: deployment["spec"]["replicas"] for name, deployment in found.items()} == {
        "api": 3,
        "projector": 2,
        "watcher": 4,
    }
    variables = {name: {v["name"] for v in container["env"]} for name, container in containers.items()}
    assert {"NATS_URL", "DATABASE_URL", "FORWARDED_ALLOW_IPS"} <= variables["api"]
    assert {name for name in variables if "NATS_REPLICAS" in variables[name]} == {"watcher", "projector"}


@pytest.mark.parametrize("directory", [EXAMPLE, EDGE], ids=["example", "edge"])
def test_each_mounted_configuration_is_made(directory: Path) -> None:
    """Under the name that the pods mount, so that an edit restarts nothing."""
    found = rendered(directory)
    pods = [deployment["spec"]["template"]["spec"] for deployment in of_kind("Deployment", found).values()]
    mounted = {volume["configMap"]["name"] for pod in pods for volume in pod["volumes"] if "configMap" in volume}
    assert mounted == of_kind("ConfigMap", found).keys()


def test_a_watcher_inside_a_cluster_has_its_rights_and_no_lasting_token() -> None:
    """The rights are those of config/rbac/watcher.yaml; Kubernetes gives the pod a token that expires."""
    found = rendered(EDGE)
    (binding,) = of_kind("ClusterRoleBinding", found).values()
    account = of_kind("Deployment", found)["watcher"]["spec"]["template"]["spec"]["serviceAccountName"]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "summit-connect"}
    assert binding["subjects"] == [subject]
    assert of_kind("ClusterRole", found).keys() == {binding["roleRef"]["name"]}
    assert of_kind("Secret", found) == {}
