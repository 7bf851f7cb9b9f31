"""Subjects of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.subject import ingest, unmanaged_vm_subject, unmanaged_vm_subjects, vm_subject

DC, CLUSTER = DatacenterId("dc-solna"), ClusterName("vulcan")


def test_a_vm_is_published_under_its_datacenter_cluster_namespace_and_name() -> None:
    """Selective tokens come first, so that wildcards select a datacenter or a cluster."""
    assert vm_subject(DC, CLUSTER, "prod", "web-1") == "summit.vms.dc-solna.vulcan.prod.web-1"


def test_a_dot_in_a_name_becomes_an_underscore() -> None:
    """VM names are DNS subdomains; a dot would make two tokens of one name."""
    assert vm_subject(DC, CLUSTER, "prod", "web.1.example") == "summit.vms.dc-solna.vulcan.prod.web_1_example"


def test_a_vm_added_by_hand_is_published_under_its_id() -> None:
    """Its name may be any text, may change, and may be that of another one. No cluster is called `-`."""
    uid = Uid("6f0c1a52-0c0f-4b62-9d0f-6a4b0f3b7a10")
    assert unmanaged_vm_subject(DC, uid) == f"summit.vms.dc-solna.-.-.{uid}"
    assert unmanaged_vm_subjects(uid) == f"summit.vms.*.-.-.{uid}"


def test_writers_publish_below_ingest() -> None:
    """The stream's transform gives the event its public name when it is stored."""
    assert ingest("summit.vms.a.b.c.d") == "ingest.summit.vms.a.b.c.d"


@pytest.mark.parametrize("name", ["", "*", ">", "a b", "a\tb", "a\r\nb", "x" * 1000])
def test_a_name_that_cannot_be_a_token_is_refused(name: str) -> None:
    """The server would store a wildcard literally, and close the connection for an overlong line."""
    with pytest.raises(ValueError, match="subject"):
        vm_subject(DC, CLUSTER, "prod", name)


kubernetes_names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)


@given(kubernetes_names, kubernetes_names)
def test_different_names_have_different_subjects(one: str, other: str) -> None:
    """No Kubernetes name contains an underscore, so replacing the dot collides with nothing."""
    same = vm_subject(DC, CLUSTER, "n", one) == vm_subject(DC, CLUSTER, "n", other)
    assert same == (one == other)
