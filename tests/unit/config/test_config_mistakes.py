"""Every mistake in datacenters.yaml is one sentence with file, line, what is wrong and what to do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_watcher.config import datacenters as config

FILE = Path("datacenters.yaml")


def mistakes(text: str) -> list[str]:
    return [str(mistake).removeprefix("datacenters.yaml line ") for mistake in config.read(text, FILE).mistakes]


def of_datacenter(entry: str) -> list[str]:
    return mistakes(f"datacenters:\n- {entry}\n")


def of_cluster(entry: str) -> list[str]:
    return mistakes(f"datacenters:\n- id: a\n  clusters:\n  - {entry}\n")


NOT_A_CONFIGURATION = {
    "": "1: the file is empty: declare 'datacenters', config/datacenters.example.yaml shows how",
    "# only a comment\n": "1: the file is empty: declare 'datacenters', config/datacenters.example.yaml shows how",
    "- id: a": "1: the file is not a mapping: write it as config/datacenters.example.yaml shows",
    "datacenter: []": "1: the file has an unknown key 'datacenter': did you mean 'datacenters'?",
    "{}": "1: the file has no 'datacenters': add it",
    "datacenters: {id: a}": "1: 'datacenters' of the file is not a list: begin each entry with '- '",
    "datacenters:\n\t- id: a": (
        "2: this is not YAML: there is a tab, and YAML indents with spaces only: replace it by spaces"
    ),
    "datacenters:\n- id: 'a": ("2: this is not YAML: while scanning a quoted scalar: found unexpected end of stream"),
    "datacenters: [\x01]": "1: this is not YAML: the character '\\x01' is not allowed",
    "datacenters: []\n---\nmore: 1": (
        "2: this is not YAML: expected a single document in the stream: but found another document"
    ),
    '"\\U00110000"': "1: this is not YAML: it has an escape that is not a character",
}


@pytest.mark.parametrize(("text", "sentence"), NOT_A_CONFIGURATION.items())
def test_a_text_that_is_not_a_configuration_is_reported_in_one_sentence(text: str, sentence: str) -> None:
    """The whole file cannot be used. The line is the one that YAML reports."""
    assert mistakes(text) == [sentence]


DATACENTER_MISTAKES = {
    "just-text": "2: a datacenter is not a mapping: write it as config/datacenters.example.yaml shows",
    "name: Solna": "2: a datacenter has no 'id': add it",
    "id:": "2: 'id' of a datacenter is empty: give it a value",
    "id: ''": "2: 'id' of a datacenter is empty: give it a value",
    "id: 17": "2: 'id' of a datacenter is not text: put it in quotes",
    "id: no": "2: 'id' of a datacenter is not text: put it in quotes",
    "id: [a]": "2: 'id' of a datacenter is not text: put it in quotes",
    "id: Solna": (
        "2: 'id' of datacenter 'Solna' cannot be used: use lower-case letters, digits and '-' inside, 63 at most"
    ),
    "id: dc.solna": (
        "2: 'id' of datacenter 'dc.solna' cannot be used: use lower-case letters, digits and '-' inside, 63 at most"
    ),
    "{id: a, locaton: x}": "2: datacenter 'a' has an unknown key 'locaton': did you mean 'location'?",
    "{id: a, 7: x}": ("2: datacenter 'a' has an unknown key '7': known are id, name, location, coordinates, clusters"),
    "{id: a, [x]: x}": (
        "2: datacenter 'a' has an unknown key '(sequence)': known are id, name, location, coordinates, clusters"
    ),
    "{id: a, id: b}": "2: 'id' of datacenter 'a' is given twice: keep one, the first is used",
    "{id: a, name: 1}": "2: 'name' of datacenter 'a' is not text: put it in quotes",
    "{id: a, name: {}}": "2: 'name' of datacenter 'a' is not text: put it in quotes",
    '{id: a, name: "x\\e"}': "2: 'name' of datacenter 'a' has a character that cannot be printed: remove it",
    "{id: a, coordinates: [91, 0]}": (
        "2: 'coordinates' of datacenter 'a' are out of range: latitude is -90 to 90, longitude -180 to 180"
    ),
    "{id: a, coordinates: [.nan, 0]}": (
        "2: 'coordinates' of datacenter 'a' are not two numbers: "
        "write [latitude, longitude] in degrees, for example [59.36, 18.00]"
    ),
    "{id: a, name: 2026-01-01}": "2: 'name' of datacenter 'a' is not text: put it in quotes",
    "{id: a, clusters: {b: }}": ("2: 'clusters' of datacenter 'a' is not a list: begin each entry with '- '"),
}


@pytest.mark.parametrize(("entry", "sentence"), DATACENTER_MISTAKES.items())
def test_a_mistake_in_a_datacenter_is_reported_in_one_sentence(entry: str, sentence: str) -> None:
    """The mistakes in a datacenter's own keys."""
    assert of_datacenter(entry) == [sentence]


@pytest.mark.parametrize("value", ["17", "text", "[1]", "[1, 2, 3]", "['1', '2']", "[1, .inf]", "{lat: 1, lon: 2}"])
def test_coordinates_are_two_numbers(value: str) -> None:
    """Anything but a list of two finite numbers is left out, and the datacenter is kept."""
    found = config.read(f"datacenters: [{{id: a, coordinates: {value}}}]", FILE)
    assert "are not two numbers" in str(found.mistakes[0])
    assert found.datacenters == (config.DatacenterConfig("a", "a"),)


CLUSTER_MISTAKES = {
    "vulcan": "4: a cluster is not a mapping: write it as config/datacenters.example.yaml shows",
    "name: vulcan": "4: cluster 'vulcan' has no 'kubeconfig': add it",
    "vulcan:": "4: cluster 'vulcan' has no 'kubeconfig': add it",
    "kubeconfig: k": "4: a cluster has no 'name': add it",
    "{name: vulcan, kubconfig: k}": ("4: cluster 'vulcan' has an unknown key 'kubconfig': did you mean 'kubeconfig'?"),
    "{name: vulcan, kubeconfig: }": ("4: 'kubeconfig' of cluster 'vulcan' is empty: give it a value"),
    "{name: vulcan, kubeconfig: ''}": ("4: 'kubeconfig' of cluster 'vulcan' is empty: give it a value"),
    "{name: vulcan, kubeconfig: ~nobody-here/k}": (
        "4: 'kubeconfig' of cluster 'vulcan' names a home directory that does not exist, '~nobody-here/k': write it out"
    ),
    "{name: vulcan, kubeconfig: k, context: 1}": ("4: 'context' of cluster 'vulcan' is not text: put it in quotes"),
    "{name: -vulcan, kubeconfig: k}": (
        "4: 'name' of cluster '-vulcan' cannot be used: use lower-case letters, digits and '-' inside, 63 at most"
    ),
    "{name: vulcan, kubeconfig: k, token: secret}": (
        "4: cluster 'vulcan' has an unknown key 'token': known are name, kubeconfig, context, identity"
    ),
}


@pytest.mark.parametrize(("entry", "sentence"), CLUSTER_MISTAKES.items())
def test_a_mistake_in_a_cluster_is_reported_in_one_sentence(entry: str, sentence: str) -> None:
    """The mistakes in a cluster's own keys, in the newer and the older form."""
    assert of_cluster(entry) == [sentence]


def test_a_name_of_64_characters_is_too_long() -> None:
    """A DNS label has at most 63 characters, and so have our names."""
    assert of_cluster(f"{{name: {'x' * 63}, kubeconfig: k}}") == []
    assert "cannot be used" in of_cluster(f"{{name: {'x' * 64}, kubeconfig: k}}")[0]


def test_a_datacenter_id_is_taken_once() -> None:
    """The first keeps the id. The mistake names its line, and the second is left out."""
    text = "datacenters:\n- {id: a, name: first}\n- {id: a, name: second}\n"
    assert mistakes(text) == ["3: 'id' of datacenter 'a' is taken in line 2: choose another; this one is left out"]
    assert [datacenter.name for datacenter in config.read(text, FILE).datacenters] == ["first"]


def test_a_cluster_name_is_taken_once_in_the_whole_file() -> None:
    """Log lines, metrics and migrations name a cluster without its datacenter."""
    text = """datacenters:
- {id: a, clusters: [{name: vulcan, kubeconfig: 1st}]}
- id: b
  clusters:
  - vulcan:
    kubeconfig: 2nd
"""
    assert mistakes(text) == ["5: 'name' of cluster 'vulcan' is taken in line 2: choose another; this one is left out"]


def test_a_broken_cluster_keeps_its_name() -> None:
    """It may be running. If a later entry took its name, a typing error would retire it."""
    text = "datacenters:\n- id: a\n  clusters:\n  - name: vulcan\n  - {name: vulcan, kubeconfig: k}\n"
    assert mistakes(text) == [
        "4: cluster 'vulcan' has no 'kubeconfig': add it",
        "5: 'name' of cluster 'vulcan' is taken in line 4: choose another; this one is left out",
    ]
    assert config.read(text, FILE).clusters == ()


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines() -> None:
    """One run of check is enough to correct a file."""
    found = mistakes("""datacenters:
- id: a
  clusters:
  - name: UPPER
    kubeconfig: k
  - name: b
  coordinates: here
""")
    assert [sentence.split(":")[0] for sentence in found] == ["4", "6", "7"]


YAML_LIKE = st.lists(
    st.sampled_from(
        [*"abn:-[]{},&*!|>'\"%@`?#~<= \n\t\x00\ud800é", "\n  ", "\n- ", ": ", "- id: ", "datacenters:\n", "clusters:\n",
         "kubeconfig: ", "name: ", "!!int ", "!!binary ", "&a ", "*a", "<<: ", "---\n", "...\n", "%YAML 9.9\n",
         '"\\xff"', '"\\uD800"', '"\\UFFFFFFFF"', "1e999", ".inf", "59:21", "0x", "2026-01-01", "coordinates: [1, 2]"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(YAML_LIKE | st.text())
def test_reading_never_raises_whatever_the_text(text: str) -> None:
    """Any text yields a configuration. An unusable text yields a mistake, and no mistake means that it is usable."""
    found = config.read(text, FILE)
    assert found.mistakes or found == config.read(text + "\n", FILE)
    for mistake in found.mistakes:
        assert str(mistake).encode("utf-8")
        assert "\n" not in str(mistake)


def test_deep_nesting_is_a_mistake() -> None:
    """A text that would exhaust the stack of the YAML parser is rejected in one sentence."""
    assert mistakes("[" * 1000) == ["1: this is not YAML: it is nested too deeply"]


def test_aliases_of_aliases_are_a_mistake_and_take_no_memory() -> None:
    """Ten lines of them make more values than a machine can hold. A single alias is the value that it names."""
    lines = ["l0: &l0 [x]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10))]
    assert mistakes("\n".join(lines)) == ["1: this is not YAML: it has more than 100000 values"]
    assert mistakes("&a [*a]") == ["1: this is not YAML: it is nested too deeply"]
    found = config.read("datacenters: [{id: &a b, name: *a}]", FILE)
    assert found == config.Configuration((config.DatacenterConfig("b", "b"),))


def test_a_mistake_in_a_cluster_of_the_older_form_names_its_own_line() -> None:
    """This holds where the keys are indented below the name, too."""
    text = "datacenters:\n- id: a\n  clusters:\n  - vulcan:\n      kubeconfig: k\n      contxt: x\n"
    assert mistakes(text) == ["6: cluster 'vulcan' has an unknown key 'contxt': did you mean 'context'?"]
    assert config.read(text, FILE).clusters == (config.ClusterConfig("vulcan", "a", Path("k")),)
