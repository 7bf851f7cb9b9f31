"""The simulator's process is configured by its environment, and names a wrong variable."""

import pytest
from support.paths import ROOT

from summit_simulator.settings import ClusterSetting, read_settings


def test_clusters_are_named_or_counted() -> None:
    """A list of name:vms, or a number."""
    assert read_settings({"SIMULATOR_CLUSTERS": "fra-1:200, sto-1"}).clusters == (
        ClusterSetting("fra-1", 200),
        ClusterSetting("sto-1", 40),
    )
    names = [cluster.name for cluster in read_settings({"SIMULATOR_CLUSTERS": "12"}).clusters]
    assert (len(set(names)), names[0], names[-1]) == (12, "vulcan", "cluster-12")


def test_kubeconfigs_of_the_simulator_are_ignored_by_git() -> None:
    """They have credentials, and a simulator writes them into the directory in which it is started."""
    directory = read_settings({}).kubeconfig_dir
    assert f"/{directory}/" in (ROOT / ".gitignore").read_text().splitlines()


def test_kubeconfigs_name_a_host_that_can_be_reached() -> None:
    """They never name 0.0.0.0, and the advertised host wins."""
    assert read_settings({"SIMULATOR_HOST": "0.0.0.0"}).advertise_host == "127.0.0.1"
    environment = {"SIMULATOR_HOST": "0.0.0.0", "SIMULATOR_ADVERTISE_HOST": "simulator"}
    assert read_settings(environment).advertise_host == "simulator"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SIMULATOR_CLUSTERS", "a:x"),
        ("SIMULATOR_CLUSTERS", "a:1,a:2"),
        ("SIMULATOR_RATE", "fast"),
        ("SIMULATOR_SEED", "-1"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str) -> None:
    """The message has its value as well."""
    with pytest.raises(ValueError, match=name):
        read_settings({name: text})
