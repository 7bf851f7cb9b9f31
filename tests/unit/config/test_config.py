"""Reading datacenters.yaml: the forms that people write, and what is used of a file with mistakes."""

from pathlib import Path

from support.paths import ROOT

from summit_watcher.config import datacenters as config
from summit_watcher.config.datacenters import ClusterConfig, Configuration, DatacenterConfig

FILE = Path("/etc/summit/datacenters.yaml")


def read(text: str) -> Configuration:
    return config.read(text, FILE)


def test_a_full_entry_is_read_as_declared() -> None:
    """All keys of a datacenter and a cluster are read. A relative kubeconfig is beside the file."""
    found = read("""
datacenters:
  - id: dc-solna
    name: Solna
    location: Solna, Sweden
    coordinates: [59.36, 18]
    clusters:
      - name: vulcan
        kubeconfig: .kubeconfigs/vulcan.yaml
        context: admin
""")
    vulcan = ClusterConfig("vulcan", "dc-solna", Path("/etc/summit/.kubeconfigs/vulcan.yaml"), "admin")
    assert found.datacenters == (DatacenterConfig("dc-solna", "Solna", "Solna, Sweden", (59.36, 18.0), (vulcan,)),)
    assert found.mistakes == ()


def test_everything_but_the_id_is_optional_for_a_datacenter() -> None:
    """A datacenter that has only an id has it as its name, and has no clusters."""
    assert read("datacenters: [{id: dc-solna}]") == Configuration((DatacenterConfig("dc-solna", "dc-solna"),))


def test_older_form_names_the_cluster_by_a_key_without_a_value() -> None:
    """`- vulcan:` with `kubeconfig:` in the same mapping, or indented below the name, is the cluster vulcan."""
    same = read("datacenters:\n- id: a\n  clusters:\n  - vulcan:\n    kubeconfig: /k/v.yaml\n")
    below = read("datacenters:\n- id: a\n  clusters:\n  - vulcan:\n      kubeconfig: /k/v.yaml\n")
    assert same.clusters == below.clusters == (ClusterConfig("vulcan", "a", Path("/k/v.yaml")),)
    assert same.mistakes == below.mistakes == ()


def test_home_directory_is_expanded_in_a_kubeconfig_path() -> None:
    """A path that begins with ~ is below the user's home directory."""
    found = read("datacenters: [{id: a, clusters: [{name: b, kubeconfig: ~/.kube/config}]}]")
    assert found.clusters[0].kubeconfig == Path.home() / ".kube/config"


def test_moving_an_entry_to_another_line_changes_nothing() -> None:
    """Two configurations that differ only in lines are equal, so that a comment restarts no watcher."""
    text = "datacenters: [{id: a, clusters: [{name: b, kubeconfig: k}]}]"
    assert read(text) == read("# a comment\n\n" + text)


def test_a_key_whose_list_is_commented_out_is_an_empty_list() -> None:
    """`clusters:` and `datacenters:` without a value are not mistakes."""
    assert read("datacenters:\n") == Configuration()
    assert read("datacenters: [{id: a, clusters: }]").mistakes == ()


def test_a_broken_cluster_leaves_its_neighbours_alone() -> None:
    """Only the entry with the mistake is left out, in its datacenter and in the others."""
    found = read("""
datacenters:
  - id: a
    clusters:
      - {name: good-1, kubeconfig: k}
      - {name: no-kubeconfig}
      - {name: good-2, kubeconfig: k}
  - id: Not_An_Id
    clusters: [{name: lost, kubeconfig: k}]
  - {id: b, location: 7, clusters: [{name: good-3, kubeconfig: k}]}
""")
    assert [cluster.name for cluster in found.clusters] == ["good-1", "good-2", "good-3"]
    assert [mistake.line for mistake in found.mistakes] == [6, 8, 10]


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    """Loading a missing file yields no datacenter and one sentence."""
    found = config.load(tmp_path / "datacenters.yaml")
    assert found.datacenters == ()
    assert "there is no such file" in str(found.mistakes[0])


def test_a_file_that_is_not_text_is_a_mistake(tmp_path: Path) -> None:
    """The mistake names the line of the first bytes that are not UTF-8."""
    path = tmp_path / "datacenters.yaml"
    path.write_bytes(b"datacenters:\n- id: \xff\n")
    (mistake,) = config.load(path).mistakes
    assert str(mistake) == f"{path} line 2: this is not UTF-8: save the file as UTF-8 text"


def test_the_files_we_ship_have_no_mistakes() -> None:
    """The default and the example in config/ are valid, and the example shows clusters."""
    directory = ROOT / "config"
    assert config.load(directory / "datacenters.yaml") == Configuration()
    example = config.load(directory / "datacenters.example.yaml")
    assert example.mistakes == ()
    assert [cluster.name for cluster in example.clusters] == ["vulcan", "romulus", "kronos"]
