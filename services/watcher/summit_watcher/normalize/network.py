"""Addresses at which the guest can be reached.

Only interfaces with a name count: those of the specification. The guest agent also reports interfaces inside the guest
(docker0, veth…), in an order that changes by itself. They are left out, since each change would be an event.
Sources: pkg/network/setup/netstat.go, pkg/network/controllers/vmi.go.
"""

import socket

from summit_watcher.kube.manifests.instance import Interface, VirtualMachineInstance
from summit_watcher.normalize.quantity import shown

MAX_ADDRESSES = 64
"""For one VM. The guest agent decides how many it reports, and the guest is not trusted."""


def addresses(vmi: VirtualMachineInstance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All usable addresses, the primary one first, and the problems.

    The primary is on the pod network if that has a usable address, else on the first other interface that has one;
    IPv4 before IPv6. The others follow: by interface in the order of `spec.networks`, IPv4 first, then by number. So
    the order depends on nothing that changes by itself.
    """
    interfaces = vmi.status.interfaces if vmi.status else None
    if not interfaces:
        return (), ()
    problems: list[str] = []
    found: dict[str, None] = {}
    for interface in _ordered(vmi, [one for one in interfaces if one is not None and one.name]):
        found.update(dict.fromkeys(_usable(interface, problems)))
    return tuple(found)[:MAX_ADDRESSES], tuple(dict.fromkeys(problems))


def _ordered(vmi: VirtualMachineInstance, interfaces: list[Interface]) -> list[Interface]:
    """The pod network first, then the order of the specification, then interfaces that it does not name."""
    if len(interfaces) < 2:
        return interfaces
    networks = [n for n in (vmi.spec.networks if vmi.spec else None) or () if n is not None]
    rank = {n.name: (n.pod is None, place) for place, n in enumerate(networks)}
    last = (True, len(networks))
    return sorted(interfaces, key=lambda interface: rank.get(interface.name, last))


def _usable(interface: Interface, problems: list[str]) -> list[str]:
    """The interface's usable addresses; within a family its `ipAddress` comes first."""
    first = interface.ip_address
    usable: list[tuple[int, bool, bytes, str]] = []
    for address in dict.fromkeys((first, *(interface.ip_addresses or ()))):
        if not address:
            continue
        packed, canonical = _parsed(address)
        if packed is None:
            problems.append(f"ip: {shown(address)} of interface {shown(interface.name)} is no address")
        elif not _is_local(packed):
            usable.append((len(packed), address != first, packed, canonical))
    if len(usable) > 1:
        usable.sort()
    return [canonical for *_, canonical in usable]


def _parsed(address: str) -> tuple[bytes | None, str]:
    """The address in network order and in canonical form. inet_pton is ten times faster than ipaddress."""
    bare = address.partition("/")[0].partition("%")[0].strip()
    try:
        if ":" not in bare:
            return socket.inet_pton(socket.AF_INET, bare), bare
        packed = socket.inet_pton(socket.AF_INET6, bare)
    except (OSError, ValueError):  # ValueError: NUL or a lone surrogate inside
        return None, address
    return packed, socket.inet_ntop(socket.AF_INET6, packed)


def _is_local(packed: bytes) -> bool:
    """Loopback, link-local or unspecified: a VM cannot be reached there."""
    if len(packed) == 4:
        return packed[0] == 127 or packed.startswith(_LINK_LOCAL_V4) or packed == _UNSPECIFIED_V4
    return (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80) or (packed[15] < 2 and packed.startswith(_ZEROS))


_LINK_LOCAL_V4 = b"\xa9\xfe"
_UNSPECIFIED_V4 = bytes(4)
_ZEROS = bytes(15)
