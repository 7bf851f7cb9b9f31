"""LIST: one consistent snapshot in pages.

Every page of a list comes from the snapshot that its first page was cut from. `metadata` is the last member and
the final page has `"continue":""`, as observed on a real kube-apiserver 1.36.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from summit_simulator.api.list_options import check_list_options, number, read_selection
from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, decode, encode
from summit_simulator.objects.resources import Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Compacted, Key, Record, Store

# A snapshot is a list of references; this many are as many concurrent paged lists of one cluster.
KEPT_SNAPSHOTS = 64


class Page(NamedTuple):
    """Part of a list."""

    records: Sequence[Record]
    revision: int
    continue_token: str
    remaining: int | None

    def metadata(self) -> Manifest:
        """ListMeta, with an empty continue on the final page."""
        meta: Manifest = {"continue": self.continue_token, "resourceVersion": str(self.revision)}
        return meta | ({"remainingItemCount": self.remaining} if self.remaining else {})


class Snapshots:
    """The snapshots that continue tokens refer to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[Resource, int], list[Record]] = OrderedDict()

    def forget(self) -> None:
        """Expire every continue token handed out so far."""
        self._kept.clear()

    def page(self, resource: Resource, info: RequestInfo) -> Page:
        """The page that a LIST asks for. Raises StatusError 400, 410, 422, 504."""
        query = info.query
        check_list_options(query)
        start, revision, records = self._snapshot(resource, query)
        selection = read_selection(info)
        selected = records if selection.selects_all else [one for one in records if selection.selects(one)]
        if start:
            selected = [record for record in selected if (record.namespace, record.name) >= start]
        limit = number(query, "limit") if query.get("resourceVersion") != "0" else 0
        if not limit or limit >= len(selected):
            return Page(selected, revision, "", None)
        token = _token(revision, (selected[limit].namespace, selected[limit].name))
        self._keep(resource, revision, records)
        # With a selector the server cannot count the rest, and leaves the number out.
        is_selective = query.get("labelSelector") or query.get("fieldSelector")
        return Page(selected[:limit], revision, token, None if is_selective else len(selected) - limit)

    def _snapshot(self, resource: Resource, query: Mapping[str, str]) -> tuple[Key | None, int, list[Record]]:
        if token := query.get("continue"):
            revision, start = _read_token(token)
            if revision < 0:  # the "inconsistent" token out of a 410
                return start, self._store.revision, self._store.records(resource)
            kept = self._kept.get((resource, revision))
            if kept is None:
                raise status.expired_continue(_token(-1, start))
            return start, revision, kept
        revision = self._wanted_revision(query)
        if query.get("resourceVersionMatch") == "Exact" and revision != self._store.revision:
            try:
                return (
                    None,
                    revision,
                    self._kept.get((resource, revision)) or self._store.records_at(resource, revision),
                )
            except Compacted:
                raise status.expired_list() from None
        return None, self._store.revision, self._store.records(resource)

    def _wanted_revision(self, query: Mapping[str, str]) -> int:
        revision = number(query, "resourceVersion")
        if revision > self._store.revision:
            raise status.too_large(revision, self._store.revision)
        return revision

    def _keep(self, resource: Resource, revision: int, records: list[Record]) -> None:
        self._kept[resource, revision] = records
        self._kept.move_to_end((resource, revision))
        while len(self._kept) > KEPT_SNAPSHOTS:
            self._kept.popitem(last=False)


def render(resource: Resource, page: Page) -> bytes:
    """The list as JSON, joined from the bytes of its objects."""
    items = b",".join([record.data for record in page.records])
    head = f'{{"apiVersion":"{resource.api_version}","items":['.encode()
    tail = f'],"kind":"{resource.kind}List","metadata":'.encode()
    return b"".join((head, items, tail, encode(page.metadata()), b"}\n"))


def _token(revision: int, start: Key) -> str:
    body = encode({"v": "meta.k8s.io/v1", "rv": revision, "start": list(start)})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, Key]:
    try:
        body = decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = body["start"]
        return int(body["rv"]), (namespace, name)
    except (binascii.Error, ValueError, KeyError) as error:
        raise StatusError(400, f"continue key is not valid: {error}") from error
