"""What runs in the guest, and on which machine it believes to run."""

from summit_watcher.kube.manifests import Annotations, Domain, GuestOSInfo, InstanceStatus
from summit_watcher.normalize.facts import text


def guest_os(info: GuestOSInfo | None) -> str | None:
    """The guest agent's words; `guestOSInfo` is `{}` when there is no agent. KubeVirt refreshes it when `name` changes,
    so an upgrade within one distribution shows after the next start.
    """
    if info is None:
        return None
    return text(info.pretty_name) or text(" ".join(word for word in (info.name, info.version) if word))


def declared_os(annotations: Annotations | None, preference: str | None) -> str | None:
    """What the template says the guest is, for a guest without agent: the common templates' annotation, else the name
    of the preference.
    """
    annotated = annotations.os if annotations else None
    return text(annotated) or text(preference)


def machine_type(domain: Domain | None, status: InstanceStatus | None = None) -> str | None:
    for machine in (status.machine if status else None, domain.machine if domain else None):
        if machine is not None and machine.type:
            return text(machine.type)
    return None


def firmware_uuid(domain: Domain | None) -> str | None:
    return text(domain.firmware.uuid) if domain and domain.firmware else None
