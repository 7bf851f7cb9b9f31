"""What an edit of a VM means for the guest that runs, from objects alone."""

from typing import Any

import pytest

from summit_simulator.controllers.live_update import NOT_LIVE_UPDATABLE, Update, live_update


def _spec(sockets: int = 1, guest: str = "2Gi", **fields: Any) -> dict[str, Any]:
    cpu = {"cores": 2, "sockets": sockets, "maxSockets": 4}
    return {"domain": {"cpu": cpu, "memory": {"guest": guest, "maxGuest": "8Gi"}, "resources": {}}, **fields}


def _vmi(*conditions: str, **status: Any) -> dict[str, Any]:
    listed = [{"type": kind, "status": "True"} for kind in conditions]
    return {"spec": _spec(), "status": {"conditions": listed, "memory": {"guestAtBoot": "2Gi"}, **status}}


@pytest.mark.parametrize(
    ("wanted", "vmi", "update"),
    [
        (_spec(), _vmi(), Update(is_done=True)),
        (_spec(guest="2048Mi"), _vmi(), Update(is_done=True)),
        (_spec(2), _vmi(), Update(_spec(2), "HotVCPUChange")),
        (_spec(guest="4Gi"), _vmi(), Update(_spec(guest="4Gi"), "HotMemoryChange")),
        (_spec(2), _vmi("HotVCPUChange"), Update()),
        (_spec(guest="4Gi"), _vmi("HotMemoryChange"), Update()),
        (_spec(2), _vmi(migrationState={"migrationUid": "m"}), Update()),
        (_spec(2), _vmi(migrationState={"completed": True}), Update(_spec(2), "HotVCPUChange")),
        (_spec(nodeSelector={"a": "b"}), _vmi(), Update(_spec(nodeSelector={"a": "b"}))),
        (_spec(guest="4e9"), _vmi(), Update(restart_required=NOT_LIVE_UPDATABLE)),
        (_spec(volumes=[]), _vmi(), Update(restart_required=NOT_LIVE_UPDATABLE)),
        (_spec(terminationGracePeriodSeconds=5, startStrategy="Paused"), _vmi(), Update(is_done=True)),
    ],
)
def test_the_update_of_a_running_guest(wanted: Any, vmi: Any, update: Update) -> None:
    """Sockets and memory grow live, one at a time and not during a migration; the rest waits for a restart."""
    assert live_update(wanted, vmi, only_at_restart=False) == update
