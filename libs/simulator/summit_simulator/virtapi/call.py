"""One request for a subresource, and the errors that virt-api answers: it names resources in the singular."""

from collections.abc import Callable
from dataclasses import dataclass

from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest
from summit_simulator.objects.objects import Objects, Part
from summit_simulator.objects.resources import VIRTUALMACHINEINSTANCES, VIRTUALMACHINES, Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Key

MANAGER, HANDLER = "virt-api", "virt-handler"


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a subresource of the VM or VMI at a place."""

    objects: Objects
    clock: Clock
    place: Key
    options: Manifest  # the body
    reaches_handler: Callable[[], bool] = lambda: True

    @property
    def dry_run(self) -> bool:
        return "All" in (self.options.get("dryRun") or ())

    @property
    def name(self) -> str:
        return self.place[1]

    def vm(self) -> Manifest:
        """The VM. Raises StatusError 404."""
        return self._found(VIRTUALMACHINES)

    def vmi(self) -> Manifest:
        """The VMI. Raises StatusError 404."""
        return self._found(VIRTUALMACHINEINSTANCES)

    def find_vmi(self) -> Manifest | None:
        return self.objects.find(VIRTUALMACHINEINSTANCES, *self.place)

    def conflict(self, why: str, resource: Resource = VIRTUALMACHINES) -> StatusError:
        """409 with the prefix of NewConflict."""
        text = f'Operation cannot be fulfilled on {_subject(resource)} "{self.name}": {why}'
        return StatusError(409, text, details=self._details(resource))

    def forbidden(self, why: str, resource: Resource) -> StatusError:
        """403 with the text of NewForbidden."""
        text = f'{_subject(resource)} "{self.name}" is forbidden: {why}'
        return StatusError(403, text, details=self._details(resource))

    def write_vm(self, vm: Manifest, *, part: Part) -> None:
        """Write the VM as virt-api patches it, with its own rights."""
        self.objects.update(VIRTUALMACHINES, vm, manager=MANAGER, part=part, dry_run=self.dry_run)

    def write_vmi(self, vmi: Manifest, *, manager: str = HANDLER) -> None:
        self.objects.update(VIRTUALMACHINEINSTANCES, vmi, manager=manager, part="all", dry_run=self.dry_run)

    def _found(self, resource: Resource) -> Manifest:
        found = self.objects.find(resource, *self.place)
        if found is None:
            raise StatusError(404, f'{_subject(resource)} "{self.name}" not found', details=self._details(resource))
        return found

    def _details(self, resource: Resource) -> Manifest:
        return {"name": self.name, "group": resource.group, "kind": resource.singular}


def _subject(resource: Resource) -> str:
    return f"{resource.singular}.{resource.group}"
