"""Guest operating systems as their agents report them."""

from typing import NamedTuple

from summit_simulator.objects.manifest import Manifest


class Guest(NamedTuple):
    os: str  # annotation vm.kubevirt.io/os
    id: str
    name: str
    version: str
    kernel: str
    has_agent: bool = True

    def info(self) -> Manifest:
        """status.guestOSInfo; {} without an agent, where KubeVirt serialises the empty struct."""
        if not self.has_agent:
            return {}
        number = self.version.partition(" ")[0]
        return {
            "id": self.id,
            "kernelRelease": self.kernel,
            "kernelVersion": "#1 SMP PREEMPT_DYNAMIC",
            "machine": "x86_64",
            "name": self.name,
            "prettyName": f"{self.name} {self.version}",
            "version": self.version,
            "versionId": number,
        }


GUESTS = {
    guest.os: guest
    for guest in (
        Guest("rhel9", "rhel", "Red Hat Enterprise Linux", "9.6 (Plow)", "5.14.0-570.26.1.el9_6.x86_64"),
        Guest("fedora", "fedora", "Fedora Linux", "42 (Server Edition)", "6.15.9-201.fc42.x86_64"),
        Guest("ubuntu", "ubuntu", "Ubuntu", "24.04.3 LTS (Noble Numbat)", "6.8.0-71-generic"),
        Guest("debian12", "debian", "Debian GNU/Linux", "12 (bookworm)", "6.1.0-37-amd64"),
        Guest("windows2k22", "mswindows", "Microsoft Windows", "2022", "20348"),
        Guest("cirros", "cirros", "CirrOS", "0.6.2", "5.15.0", has_agent=False),
    )
}


def guest_of(manifest: Manifest) -> Guest:
    """The guest that a VM's template or a VMI's annotations name; Fedora where they do not."""
    template = (manifest.get("spec") or {}).get("template") or manifest
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return GUESTS.get(annotations.get("vm.kubevirt.io/os", ""), GUESTS["fedora"])
