"""LIST: one consistent snapshot in pages.

Every page of a list shows the revision of its first page. `metadata` is the last member and the final page has
`"continue":""`, as observed on a real kube-apiserver 1.36.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from summit_simulator.api.list_options import check_list_options, number, read_selection
from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, decode, encode
from summit_simulator.objects.resources import Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Compacted, Key, Record, Store


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


def page(store: Store, resource: Resource, info: RequestInfo) -> Page:
    """The page that a LIST asks for. Raises StatusError 400, 410, 422, 504."""
    query = info.query
    check_list_options(query)
    start, revision, records = _snapshot(store, resource, query)
    selection = read_selection(info)
    selected = records if selection.selects_all else [one for one in records if selection.selects(one)]
    if start:
        selected = [record for record in selected if (record.namespace, record.name) >= start]
    limit = number(query, "limit") if query.get("resourceVersion") != "0" else 0
    if not limit or limit >= len(selected):
        return Page(selected, revision, "", None)
    token = _token(revision, (selected[limit].namespace, selected[limit].name))
    # With a selector the server cannot count the rest, and leaves the number out.
    is_selective = query.get("labelSelector") or query.get("fieldSelector")
    return Page(selected[:limit], revision, token, None if is_selective else len(selected) - limit)


def _snapshot(store: Store, resource: Resource, query: Mapping[str, str]) -> tuple[Key | None, int, list[Record]]:
    """Where the page begins, and the list that it is cut from."""
    if token := query.get("continue"):
        revision, start = _read_token(token)
        if revision < 0:  # the "inconsistent" token out of a 410
            return start, store.revision, store.records(resource)
        try:
            return start, revision, store.records_at(resource, revision)
        except Compacted:
            raise status.expired_continue(_token(-1, start)) from None
    revision = number(query, "resourceVersion")
    if revision > store.revision:
        raise status.too_large(revision, store.revision)
    if query.get("resourceVersionMatch") != "Exact":
        return None, store.revision, store.records(resource)
    try:
        return None, revision, store.records_at(resource, revision)
    except Compacted:
        raise StatusError(410, "The resourceVersion for the provided list is too old.") from None


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
