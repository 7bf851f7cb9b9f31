"""The requests that act on VMs: which they are, and what they ask for."""

import time
from typing import Any, NamedTuple

from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects.manifest import part
from summit_simulator.objects.resources import MIGRATIONS, SUBRESOURCES_GROUP, VIRTUALMACHINES

_ACTS = {
    (VIRTUALMACHINES.plural, "patch"): "patch",
    (VIRTUALMACHINES.plural, "update"): "update",
    (VIRTUALMACHINES.plural, "delete"): "delete",
    (MIGRATIONS.plural, "create"): "migrate",
    (MIGRATIONS.plural, "delete"): "cancel",
}


class Act(NamedTuple):
    """A request to act on a VM; of a cancel the name is that of the migration."""

    action: str  # start, stop, …, migrate, cancel; a patch of a VM's template is a resize
    namespace: str
    name: str
    user: str = ""
    dry_run: bool = False
    code: int = 0  # of the answer that the request would have had
    arrived_at: float = 0.0  # Unix time


def act_of(info: RequestInfo, body: Any, user: str) -> Act | None:
    """The act that a request asks for, None for all other requests."""
    held = body if isinstance(body, dict) else {}
    dry_run = info.query.get("dryRun") == "All" or "All" in (held.get("dryRun") or ())
    now = time.time()
    if info.group == SUBRESOURCES_GROUP:
        is_act = info.verb == "update"
        return Act(info.subresource, info.namespace, info.name, user, dry_run, arrived_at=now) if is_act else None
    action = _ACTS.get((info.resource_name, info.verb))
    if action is None or info.subresource:
        return None
    if action == "patch" and part(held, "spec", "template"):
        action = "resize"
    name = str(part(held, "spec").get("vmiName", "")) if action == "migrate" else info.name
    return Act(action, info.namespace, name, user, dry_run, arrived_at=now)
