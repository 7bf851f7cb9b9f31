"""Truth = log = tables = API, and nothing was false on the way. A function per claim; each sentence is a finding."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from soak.evidence import Evidence, text_of
from soak.part import Size
from soak.world import World
from support.oracle import compare, compare_migrations, compare_versions, differing

from summit_models.event import REPETITIONS
from summit_models.vm import Vm
from summit_projector.project import Entry, project
from summit_projector.projections import PROJECTIONS

GROWTH_BYTES = 36 * 1024 * 1024
"""The growth of a process that is allowed in the second half: the publisher's last 5000 confirmed events and its queue,
15 MB; the feed's buffer of 4; the buffers of new TLS connections (256 KiB each), and the allocator's fragments of some
relists."""
GROWTH_BYTES_A_CLUSTER = 5 * 1024 * 1024
"""The watcher's queue of 1024 changes, each of an object of a few kilobytes: an outage of NATS fills it for the first
time, and what it took stays with the allocator. In ten minutes there are 30 000 events and 100 faults in the second
half: a leak of each event's body, or of one connection for each fault, grows beyond all this."""
GROWTH_FILES = 12
"""Connections that are kept for a while: five in the api's pool, and one idle one for each of five clusters."""


def truth_is_in_log(seen: Evidence, world: World) -> Iterator[str]:
    for site in world.sites:
        yield from compare(seen.expected[site.name], seen.vms.living, source=site.source)
        yield from compare_versions(seen.truths[site.name], seen.vms.living)
        yield from compare_migrations(seen.truths[site.name], seen.migrations.living, source=site.source)


def log_is_consistent(seen: Evidence, _: World) -> Iterator[str]:
    yield from seen.vms.violations
    yield from seen.migrations.violations


def nothing_returns_from_death(seen: Evidence, _: World) -> Iterator[str]:
    yield from seen.vms.returned
    yield from seen.migrations.returned


def no_dead_letters(seen: Evidence, _: World) -> Iterator[str]:
    for row in seen.dead_letters:
        yield f"event {row['revision']} on {row['subject']}: {row['reason']}"


def tables_are_the_projected_log(seen: Evidence, _: World) -> Iterator[str]:
    """One pure projection of the whole log makes the same rows as all those batches, crashes and repetitions."""
    if seen.checkpoint != seen.messages[-1].sequence:
        yield f"the checkpoint is {seen.checkpoint}, the log ends at {seen.messages[-1].sequence}"
    rows = project(seen.messages).rows
    for projection in PROJECTIONS.values():
        name, columns = projection.table.name, projection.columns
        stored = seen.tables[name]
        projected = {row[0]: dict(zip(columns, row, strict=True)) for row in rows.get(name, [])}
        for key in projected.keys() | stored.keys():
            yield from _row_differs(f"{name} {key}", projected.get(key), stored.get(key))


def _row_differs(
    what: str, projected: Mapping[str, object] | None, stored: Mapping[str, object] | None
) -> Iterator[str]:
    if projected is None or stored is None:
        yield f"{what}: {'not in the table' if stored is None else 'only in the table'}"
        return
    for column, value in projected.items():
        if text_of(value) != text_of(stored[column]):
            yield f"{what}: {column} is {stored[column]!r}, the log has {value!r}"


def history_is_the_log(seen: Evidence, _: World) -> Iterator[str]:
    """Each event that was applied once, as it was published. One that only repeats a state need not be there."""
    found = Counter(row.revision for row in seen.history)
    logged = {
        row.revision: _read(row)
        for row in project(seen.messages).journal
        if row.type not in REPETITIONS or found[row.revision]
    }
    for revision in sorted(logged.keys() | found.keys()):
        if found[revision] != (wanted := int(revision in logged)):
            yield f"revision {revision} is in events {found[revision]} times instead of {wanted}"
    for row in seen.history:
        if row.revision in logged and _read(row) != logged[row.revision]:
            yield f"revision {row.revision}: events has {row}, the log {logged[row.revision]}"


def _read(row: Entry) -> tuple[object, ...]:
    """What the journal stores of it: neither `identity` nor `order`, which only decide whether it is applied."""
    return tuple(map(text_of, row[:-2]))


def api_shows_the_tables(seen: Evidence, _: World) -> Iterator[str]:
    living = {uid: row for uid, row in seen.tables["vms"].items() if row["deleted_at"] is None}
    listed = {vm["id"]: vm for vm in seen.listed}
    if len(listed) < len(seen.listed):
        yield f"{len(seen.listed) - len(listed)} VMs are on two pages"
    for uid in living.keys() | listed.keys():
        shown = (listed[uid]["revision"], listed[uid]["status"], listed[uid]["nodeName"]) if uid in listed else None
        stored = tuple(living[uid][name] for name in ("revision", "status", "node_name")) if uid in living else None
        if shown != stored:
            yield f"VM {uid}: the API shows {shown}, the table has {stored}"
    by_datacenter = {
        uid for datacenter in seen.datacenters["datacenters"] for uid in (v["id"] for v in datacenter["vms"])
    }
    if by_datacenter != living.keys():
        yield f"/datacenters and the table differ in {sorted(by_datacenter ^ living.keys())}"
    counts = Counter(row["status"] for row in living.values())
    shown_counts = {status: count for status, count in seen.status["byStatus"].items() if count}
    if (seen.status["total_vms"], shown_counts) != (len(living), dict(counts)):
        yield f"/status counts {seen.status}, the table {dict(counts)}"
    yield from _api_shows_the_migrations(seen)


def _api_shows_the_migrations(seen: Evidence) -> Iterator[str]:
    shown = {migration["id"]: migration["phase"] for migration in seen.listed_migrations}
    stored = {uid: row["phase"] for uid, row in seen.tables["migrations"].items()}
    for uid in shown.keys() | stored.keys():
        if shown.get(uid) != stored.get(uid):
            yield f"migration {uid}: the API shows {shown.get(uid)!r}, the table has {stored.get(uid)!r}"


CLAIMS: Mapping[str, Callable[[Evidence, World], Iterator[str]]] = {
    "the log ends with the truth of every cluster": truth_is_in_log,
    "the log is consistent: created, changed, deleted, in order, nothing missing": log_is_consistent,
    "nothing that was deleted came back": nothing_returns_from_death,
    "no event became a dead letter": no_dead_letters,
    "the tables are what the log projects to": tables_are_the_projected_log,
    "the journal is the log, each event once": history_is_the_log,
    "the API shows what the tables have": api_shows_the_tables,
}


def judge(seen: Evidence, world: World) -> dict[str, list[str]]:
    """Each claim with the findings against it."""
    return {claim: list(check(seen, world)) for claim, check in CLAIMS.items()}


def growth(before: Mapping[str, Size], after: Mapping[str, Size], world: World) -> list[str]:
    """Services that have lived since `before` and have grown beyond the allowance."""
    sentences = []
    allowed = GROWTH_BYTES + GROWTH_BYTES_A_CLUSTER * len(world.sites)
    for name in world.services:
        then, now = before.get(name), after.get(name)
        if then is None or now is None or then.pid != now.pid:
            sentences.append(f"{name} has not lived since the second half began")
            continue
        if now.resident_bytes - then.resident_bytes > allowed:
            sentences.append(f"{name} grew from {then.resident_bytes / 1e6:.1f} to {now.resident_bytes / 1e6:.1f} MB")
        if now.open_files - then.open_files > GROWTH_FILES:
            sentences.append(f"{name} has {now.open_files} open files, {then.open_files} before")
    return sentences


def first_difference(seen: Evidence) -> list[str]:
    """The first VM about which truth, log, table and API do not agree, side by side."""
    truths = {uid: vm for vms in seen.expected.values() for uid, vm in vms.items()}
    listed = {vm["id"]: vm for vm in seen.listed}
    for uid in sorted(truths.keys() | seen.vms.living.keys() | listed.keys()):
        logged = seen.vms.living.get(uid)
        row = seen.tables["vms"].get(uid)
        log, shown = logged.state if logged else None, listed.get(uid)
        if differing(truths.get(uid), log) or differing(truths.get(uid), shown):
            return [f"VM {uid}", *_side_by_side(truths.get(uid), log, row, shown)]
    return []


def _side_by_side(*states: Mapping[str, object] | None) -> Iterator[str]:
    truth, log, row, shown = (state or {} for state in states)
    yield f"  {'':<20}{'truth':<32}{'log':<32}{'table':<32}API"
    for name, info in Vm.model_fields.items():
        alias = info.alias or name
        values = [truth.get(alias), log.get(alias), row.get(name), shown.get(alias)]
        yield f"  {alias:<20}" + "".join(f"{value!s:<32.30}" for value in values)
    deleted, revision = row.get("deleted_at"), row.get("revision")
    yield f"  table: deleted_at {deleted}, revision {revision}; API: revision {shown.get('revision')}"
