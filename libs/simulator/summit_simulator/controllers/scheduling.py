"""The scheduler: a node for a pod, or the words of kube-scheduler why there is none."""

from collections import Counter
from collections.abc import Iterator, Mapping

from summit_simulator.objects.manifest import Manifest, metadata, part, size_in_bytes
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import NODES, VIRTUALMACHINEINSTANCES


class Unschedulable(Exception):
    """No node takes the pod; the message is that of its condition PodScheduled."""


def node_for(
    objects: Objects, vmi: Manifest, *, apart_from: str | None = None, selector: Mapping[str, str] | None = None
) -> str:
    """The suitable node with the fewest VMIs. Raises Unschedulable.

    A guest fits on a node that is large enough for it alone; what else runs there counts only for the choice.
    """
    load = objects.count_by_label(VIRTUALMACHINEINSTANCES, "kubevirt.io/nodeName")
    wanted = part(vmi, "spec", "nodeSelector") | dict(selector or {})
    refusals = {
        str(metadata(node)["name"]): next(_refusals(node, vmi, apart_from, wanted), None)
        for node in objects.every(NODES)
    }
    suitable = [name for name, refusal in refusals.items() if refusal is None]
    if suitable:
        return min(suitable, key=lambda name: (load[name], name))
    counted = Counter(str(refusal) for refusal in refusals.values())
    reasons = ", ".join(sorted(f"{count} {refusal}" for refusal, count in counted.items()))
    raise Unschedulable(f"0/{len(refusals)} nodes are available" + (f": {reasons}." if reasons else "."))


def _refusals(node: Manifest, vmi: Manifest, apart_from: str | None, selector: Mapping[str, str]) -> Iterator[str]:
    meta, labels = metadata(node), part(node, "metadata", "labels")
    if part(node, "spec").get("unschedulable"):
        yield "node(s) were unschedulable"
    if meta["name"] == apart_from:
        yield "node(s) didn't match pod anti-affinity rules"
    if not selector.items() <= labels.items():
        yield "node(s) didn't match Pod's node affinity/selector"
    if _guest_bytes(vmi) > size_in_bytes(part(node, "status", "allocatable").get("memory", "0")):
        yield "Insufficient memory"


def _guest_bytes(vmi: Manifest) -> int:
    try:
        return size_in_bytes(part(vmi, "spec", "domain", "memory").get("guest", "0"))
    except ValueError:
        return 0  # a shape that no webhook would have let through
