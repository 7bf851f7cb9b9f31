"""A datacenter after the configuration is read: edits stay, and a changed declaration wins."""

from pathlib import Path
from typing import Any

from summit_models.contract import ClusterName, DatacenterId
from summit_models.datacenter import Datacenter, DatacenterValues
from summit_watcher.config.datacenters import ClusterConfig, DatacenterConfig
from summit_watcher.log.datacenters import declared

DC = DatacenterId("dc-solna")


def config(name: str = "Solna", **more: Any) -> DatacenterConfig:
    return DatacenterConfig(DC, name, **more)


def edited(name: str, *, declared: str = "Solna", **more: Any) -> Datacenter:
    return Datacenter(id=DC, name=name, declared=DatacenterValues(name=declared), **more)


def test_first_declaration_is_the_configuration() -> None:
    """The datacenter is as it is declared, and carries nothing else."""
    there = config(
        location="Solna, Sweden",
        coordinates=(59.36, 18.0),
        clusters=(ClusterConfig(ClusterName("vulcan"), DC, Path("vulcan.yaml")),),
    )
    assert declared(there, None) == Datacenter(
        id=DC, name="Solna", location="Solna, Sweden", coordinates=(59.36, 18.0), clusters=[ClusterName("vulcan")]
    )


def test_the_same_declaration_changes_nothing() -> None:
    """A start of the watcher is no event."""
    assert declared(config(), Datacenter(id=DC, name="Solna")) == Datacenter(id=DC, name="Solna")


def test_an_edit_survives_a_start() -> None:
    """The configuration is the same as before the edit."""
    assert declared(config(), edited("Solna North")) == edited("Solna North")


def test_a_changed_declaration_wins_for_its_field() -> None:
    """Name and location were edited, and the configuration now has another name: the edited location stays."""
    last = edited("Solna North", location="Hall 3")
    assert declared(config("Solna South"), last) == edited("Solna South", declared="Solna South", location="Hall 3")


def test_declaring_what_was_edited_ends_the_edit() -> None:
    """Then the datacenter is as it is declared, and carries nothing else."""
    assert declared(config("Solna North"), edited("Solna North")) == Datacenter(id=DC, name="Solna North")


def test_changed_clusters_are_taken_over_beside_an_edit() -> None:
    """Only the configuration decides which clusters there are."""
    there = config(clusters=(ClusterConfig(ClusterName("vulcan"), DC, Path("vulcan.yaml")),))
    assert declared(there, edited("Solna North")) == edited("Solna North", clusters=["vulcan"])
