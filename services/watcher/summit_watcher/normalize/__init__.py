"""From manifests to the normalized VM: pure functions, one module per concept, which raise for no input.

There are two steps. `*_facts` reads a manifest into the little that must be kept of it (about a kilobyte). `join_*`
makes the state from the facts of all its objects. A bad value becomes None and a sentence in `problems`.
"""

from summit_watcher.normalize.datavolume import DataVolumeFacts, data_volume_facts
from summit_watcher.normalize.facts import Facts, number_of
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.normalize.instancetype import InstancetypeFacts, InstancetypeKey, instancetype_facts
from summit_watcher.normalize.migration import MigrationFacts, ended_migration, join_migration, migration_facts
from summit_watcher.normalize.virtualmachine import VmFacts, vm_facts
from summit_watcher.normalize.vm import join_vm

__all__ = [
    "DataVolumeFacts",
    "Facts",
    "InstancetypeFacts",
    "InstancetypeKey",
    "MigrationFacts",
    "VmFacts",
    "VmiFacts",
    "data_volume_facts",
    "ended_migration",
    "instancetype_facts",
    "join_migration",
    "join_vm",
    "migration_facts",
    "number_of",
    "vm_facts",
    "vmi_facts",
]
