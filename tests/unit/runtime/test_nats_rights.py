"""The rights of each role as text: what is rendered, and how a missing permission is named."""

import pytest
from support.paths import ROOT

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.subject import bulk_operation_subject, ingest, operation_subject, unmanaged_vm_subject, vm_subject
from summit_runtime.nats.rights import Rights, Role, in_environment, needed, render, rights

SOLNA = DatacenterId("dc-solna")


def test_the_users_of_compose_are_rendered() -> None:
    """`make nats-users` writes the file."""
    assert (ROOT / "config/nats-users.conf").read_text() == render(map(in_environment, Role))


def test_a_watcher_of_a_datacenter_publishes_nothing_of_another() -> None:
    """Each subject with the datacenter as a token is for that one; a membership has none."""
    found = rights(Role.WATCHER, [SOLNA, "dc-uppsala"])
    assert found
    written = [subject for subject in found.publish if subject.startswith(("ingest.", "$KV."))]
    assert [s for s in written if "dc-solna" not in s.split(".") and "dc-uppsala" not in s.split(".")] == [
        "$KV.summit-leases.member.*"
    ]
    assert sum("dc-solna" in subject for subject in written) == 7


@pytest.mark.parametrize("datacenter", ["*", ">", "dc.solna", "", 'dc"'])
def test_a_datacenter_that_would_be_more_than_one_is_refused(datacenter: str) -> None:
    """A wildcard is no datacenter, and a quote would end the text in the configuration."""
    with pytest.raises(ValueError, match="cannot be the id of a datacenter"):
        rights(Role.WATCHER, [datacenter])


def test_nobody_reads_the_answers_of_another_user() -> None:
    """Two watchers of different datacenters are two users."""
    inboxes = [
        subject
        for user in (*map(in_environment, Role), in_environment(Role.WATCHER, [SOLNA]))
        for subject in (user.rights or Rights()).subscribe
        if subject.startswith("_INBOX")
    ]
    roles = ("watcher", "projector", "api", "feed", "watcher-dc-solna")
    assert inboxes == [f"_INBOX_{name}.>" for name in roles]


@pytest.mark.parametrize(
    ("subject", "permission"),
    [
        ("$js.api.stream.info.summit", "$JS.API.STREAM.INFO.SUMMIT"),
        ("$js.api.consumer.create.summit.8c2f.summit.clusters.*.*", "$JS.API.CONSUMER.CREATE.SUMMIT.*.summit.>"),
        ("$js.fc.summit.8c2f.x", "$JS.FC.>"),
        ("$kv.summit-leases.cluster.dc-solna.vulcan", "$KV.summit-leases.cluster.*.*"),
        ("$kv.summit-leases.member.watch-1_1/a", "$KV.summit-leases.member.*"),
        (ingest(vm_subject(SOLNA, ClusterName("vulcan"), "prod", "web")), "ingest.summit.vms.dc-solna.vulcan.>"),
        (ingest(unmanaged_vm_subject(SOLNA, Uid("1"))), "ingest.summit.vms.dc-solna.-.>"),
        (ingest(operation_subject(SOLNA, ClusterName("c"), Uid("1"))), "ingest.summit.operations.dc-solna.c.>"),
        (ingest(bulk_operation_subject(Uid("1"))), "ingest.summit.bulk_operations.1"),
        ("$js.api.stream.purge.summit", "$js.api.stream.purge.summit"),
    ],
)
def test_a_missing_permission_has_the_name_that_a_configuration_gives_it(subject: str, permission: str) -> None:
    """nats-py reports subjects in lower case, with names of consumers that are used once."""
    assert needed(subject) == permission
