"""What each user of NATS may do: one user for each role, with the permissions of its work and no others.

Pure. `config/nats-users.conf` and the embedded server are rendered from it, and a permission that somebody lacks is
named as it is written here. A permission is about subjects. The API of JetStream consists of subjects as well
(`$JS.API.…`), and answers arrive in the inbox of their user, which no other user may read. A filter with a wildcard is
permitted only where the permission has one, too.

`python -m summit_runtime.nats.rights watcher dc-solna` prints a user for this datacenter.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from summit_models.subject import ANY, HEALTH_BUCKET, INGEST_ROOT, LEASE_BUCKET, PUBLIC_ROOT, STREAM, UNMANAGED


class Role(StrEnum):
    """What a user is for; the value is the user's name."""

    ADMIN = "summit"
    """May do everything, such as to change streams and to retire clusters."""
    WATCHER = "watcher"
    PROJECTOR = "projector"
    API = "api"
    FEED = "feed"
    """Reads events, present and past, by push consumers of its own."""
    LIVE = "live"
    """Receives events as they happen, and publishes nothing, not even a request."""


@dataclass(frozen=True)
class Rights:
    """Permitted subjects; `never_publish` wins over `publish`."""

    publish: Sequence[str] = ()
    subscribe: Sequence[str] = ()
    never_publish: Sequence[str] = ()


@dataclass(frozen=True)
class User:
    name: str
    password: str
    """As nats.conf writes it: a quoted text, or a variable of the server's environment."""
    rights: Rights | None
    """None: everything."""


_API = "$JS.API"
_HEALTH, _LEASES = f"$KV.{HEALTH_BUCKET}", f"$KV.{LEASE_BUCKET}"
_HEALTH_STREAM, _LEASE_STREAM = f"KV_{HEALTH_BUCKET}", f"KV_{LEASE_BUCKET}"
_ALL_STREAMS = (STREAM, _HEALTH_STREAM, _LEASE_STREAM)


_TAKEN = "$JS.FC.>"
"""To answer a push consumer that its messages are taken."""


def _consume(stream: str, subjects: str) -> str:
    """To create consumers that push: whoever may pull can direct a status to any subject, and so delete a stream.

    Seen with nats-server 2.15.1. A push consumer delivers only where its reader listens.
    """
    return f"{_API}.CONSUMER.CREATE.{stream}.*.{subjects}"


_PREPARE = (f"{_API}.INFO", *(f"{_API}.STREAM.{verb}.{name}" for verb in ("INFO", "CREATE") for name in _ALL_STREAMS))
"""To look at the stream and the buckets, and to create what is missing. To create what exists changes nothing; changing
it is for an administrator, since a limit can empty the log."""

_READ_LOG = (
    f"{_API}.STREAM.MSG.GET.{STREAM}",
    _consume(STREAM, f"{PUBLIC_ROOT}.>"),
)
"""To read the whole log. A message is asked for by its number, and no permission limits which: so a watcher of one
datacenter can read the events of all. Nobody gets messages directly from a stream (`DIRECT.GET`): a replica may be
behind, and such an answer can be directed to a subject that its reader may not publish to (nats-server 2.15.1)."""

_PROJECTOR = (*_PREPARE, *_READ_LOG, _TAKEN)

_API_SERVICE = (
    f"{INGEST_ROOT}.vms.*.{UNMANAGED}.{UNMANAGED}.*",
    f"{INGEST_ROOT}.datacenters.*",
    f"{INGEST_ROOT}.operations.*.*.*",
    f"{INGEST_ROOT}.bulk_operations.*",
    f"{_API}.STREAM.INFO.{STREAM}",
    f"{_API}.STREAM.MSG.GET.{STREAM}",
    _consume(_HEALTH_STREAM, f"{_HEALTH}.>"),
    _consume(_LEASE_STREAM, f"{_LEASES}.>"),
    _TAKEN,
)

_WATCHER = (
    f"{_LEASES}.member.*",
    f"{_API}.STREAM.MSG.GET.{_HEALTH_STREAM}",
    f"{_API}.STREAM.MSG.GET.{_LEASE_STREAM}",
    _consume(_LEASE_STREAM, f"{_LEASES}.>"),
    *_PREPARE,
    *_READ_LOG,
    _TAKEN,
)
_WATCHER_OF_A_DATACENTER = (
    f"{INGEST_ROOT}.vms.{{}}.*.*.*",
    f"{INGEST_ROOT}.migrations.{{}}.*.*.*",
    f"{INGEST_ROOT}.operations.{{}}.*.*",
    f"{INGEST_ROOT}.clusters.{{}}.*",
    f"{INGEST_ROOT}.datacenters.{{}}",
    f"{_HEALTH}.{{}}.*",
    f"{_LEASES}.cluster.{{}}.*",
)
_ADDED_BY_HAND = f"{INGEST_ROOT}.vms.*.{UNMANAGED}.>"
"""The VMs of no watcher."""

_FEED = (
    *(f"{_API}.CONSUMER.{verb}.{stream}.*" for verb in ("INFO", "DELETE") for stream in (STREAM, _HEALTH_STREAM)),
    _TAKEN,
)
_FEED_OF_ALL = (
    f"{_API}.STREAM.INFO.{STREAM}",
    f"{_API}.STREAM.INFO.{_HEALTH_STREAM}",
    f"{_API}.CONSUMER.CREATE.{STREAM}",
    f"{_API}.CONSUMER.CREATE.{STREAM}.*",
)
"""These cannot be limited to datacenters: the subjects of a stream, and a consumer of several filters."""


def rights(role: Role, datacenters: Sequence[str] = (), *, user: str = "") -> Rights | None:
    """What a role may do in these datacenters, or in all; None: everything. `user` is its name, if not the role's.

    Projector and api are for all datacenters. Raises ValueError for what cannot be the id of a datacenter.
    """
    if wrong := [id_ for id_ in datacenters if not re.fullmatch(r"[a-z0-9-]+", id_)]:
        raise ValueError(f"{wrong[0]!r} cannot be the id of a datacenter")
    answers = (f"{inbox(user or role)}.>",)
    match role:
        case Role.ADMIN:
            return None
        case Role.WATCHER:
            places = tuple(datacenters) or (ANY,)
            own = (subject.format(place) for place in places for subject in _WATCHER_OF_A_DATACENTER)
            return Rights((*own, *_WATCHER), answers, (_ADDED_BY_HAND,))
        case Role.PROJECTOR:
            return Rights(_PROJECTOR, answers)
        case Role.API:
            return Rights(_API_SERVICE, answers)
        case Role.FEED:
            return Rights(_feed(datacenters), (*_public(datacenters), *_health(datacenters), *answers))
        case Role.LIVE:
            return Rights((), (*_public(datacenters), *_health(datacenters)), (">",))


def _public(datacenters: Sequence[str]) -> list[str]:
    """All events, or those of datacenters."""
    places = [f"*.{id_}{below}" for id_ in datacenters for below in ("", ".>")]
    return [f"{PUBLIC_ROOT}.{place}" for place in places or [">"]]


def _health(datacenters: Sequence[str]) -> list[str]:
    return [f"{_HEALTH}.{place}" for place in [f"{id_}.*" for id_ in datacenters] or [">"]]


def _feed(datacenters: Sequence[str]) -> list[str]:
    read = [(STREAM, subjects) for subjects in _public(datacenters)]
    read += [(_HEALTH_STREAM, subjects) for subjects in _health(datacenters)]
    create = [f"{_API}.CONSUMER.CREATE.{stream}.*.{subjects}" for stream, subjects in read]
    return [*create, *_FEED, *(() if datacenters else _FEED_OF_ALL)]


def inbox(user: str) -> str:
    """The prefix of the subjects on which a user receives answers."""
    return f"_INBOX_{user}"


# Missing permissions

_KNOWN = (*_API_SERVICE, *(s.format(ANY) for s in _WATCHER_OF_A_DATACENTER), *_WATCHER, *_feed(()))


def needed(subject: str) -> str:
    """The permission that publishing to a subject needs, in whatever case nats-py reports it.

    For an event it is that of its cluster. A subject that no role needs is its own permission.
    """
    tokens = subject.lower().split(".")
    if subject.lower().startswith(f"{INGEST_ROOT}."):
        cluster = 5  # ingest.summit.vms.<datacenter>.<cluster>
        return ".".join(tokens[:cluster]) + (".>" if len(tokens) > cluster else "")
    return next((known for known in _KNOWN if _covers(known.lower().split("."), tokens)), subject)


def _covers(pattern: Sequence[str], tokens: Sequence[str]) -> bool:
    if pattern[-1] == ">":
        return len(tokens) >= len(pattern) and _covers(pattern[:-1], tokens[: len(pattern) - 1])
    return len(pattern) == len(tokens) and all(p in (ANY, token) for p, token in zip(pattern, tokens, strict=True))


# The configuration of a server


def render(users: Iterable[User]) -> str:
    """The block `authorization` of nats.conf."""
    return "\n".join(("authorization { users: [", *map(_rendered, users), "] }", ""))


def _rendered(user: User) -> str:
    login = f'{{ user: "{user.name}", password: {user.password}'
    if user.rights is None:
        return f"  {login} }}"
    rules = {"allow": user.rights.publish, "deny": user.rights.never_publish}
    lines = [f"  {login}, permissions: {{", "    publish: {"]
    for rule, subjects in rules.items():
        if subjects:
            lines += [f"      {rule}: [", *(f'        "{subject}"' for subject in subjects), "      ]"]
    allowed = ", ".join(f'"{subject}"' for subject in user.rights.subscribe)
    return "\n".join((*lines, "    }", f"    subscribe: {{ allow: [{allowed}] }}", "  } }"))


def in_environment(role: Role, datacenters: Sequence[str] = ()) -> User:
    """The user of a role, for these datacenters or for all, whose password is a variable of the server."""
    name = "-".join((role, *datacenters))
    variable = "NATS_PASSWORD" if role is Role.ADMIN else f"NATS_{name.upper().replace('-', '_')}_PASSWORD"
    return User(name, f"${variable}", rights(role, datacenters, user=name))


def main() -> None:
    parser = argparse.ArgumentParser(description="Print users of NATS with their permissions, as nats.conf has them.")
    parser.add_argument("role", nargs="?", type=Role, choices=list(Role), help="default: all, for all datacenters")
    parser.add_argument("datacenter", nargs="*", help="limit the user to this datacenter")
    chosen = parser.parse_args()
    users = [in_environment(chosen.role, chosen.datacenter)] if chosen.role else map(in_environment, Role)
    sys.stdout.write(render(users))


if __name__ == "__main__":
    main()
