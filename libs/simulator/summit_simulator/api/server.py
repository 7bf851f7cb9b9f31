"""The apiserver: one request at a time, from fault switches through authorization to the answer."""

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web

from summit_simulator.access.authorization import Access
from summit_simulator.api import discovery, pages, requests, reviews, tables, writes
from summit_simulator.api.actions import Actions
from summit_simulator.api.faults import Faults
from summit_simulator.api.list_options import read_watch_options
from summit_simulator.api.pages import Snapshots
from summit_simulator.api.requests import RequestInfo
from summit_simulator.api.watches import WatchStream
from summit_simulator.objects import status
from summit_simulator.objects.manifest import encode
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import KUBEVIRT_GROUPS, SUBRESOURCES_GROUP, Resource, named
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Store

# The answer of the aggregation layer for a group it does not know: plain text instead of a Status.
PAGE_NOT_FOUND = "404 page not found\n"
# Enough for any test, and bounded for a demo that runs for weeks.
KEPT_REQUESTS = 100_000


class LoggedRequest(NamedTuple):
    """One request as it came in; user is None for a token that is not known."""

    method: str
    path: str
    query: Mapping[str, str]
    user: str | None
    verb: str
    resource: str


@dataclass(slots=True)
class ApiServer:
    """Serves the objects of one cluster."""

    store: Store
    objects: Objects
    snapshots: Snapshots
    access: Access
    actions: Actions
    faults: Faults
    requests: deque[LoggedRequest]
    bookmark_seconds: float = 60.0  # storage/cacher/cacher.go, defaultBookmarkFrequency
    kubevirt_installed: bool = True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors become Status objects."""
        info = requests.parse(request.method, request.path, dict(request.query))
        try:
            user = self._authenticate(request, info)
            if answer := await self.faults.before(info):
                return web.Response(
                    body=answer.body,
                    status=answer.status,
                    content_type=answer.content_type,
                    headers=answer.headers,
                )
            if user is None:
                raise status.unauthorized()
            self.access.authorize(user, info.attributes)
            return await self._dispatch(request, info, user)
        except StatusError as error:
            return status_response(error)

    def _authenticate(self, request: web.BaseRequest, info: RequestInfo) -> str | None:
        user = None
        with contextlib.suppress(StatusError):
            user = self.access.authenticate(request.headers.get("Authorization"), _certificate_user(request))
        self.requests.append(LoggedRequest(info.method, info.path, info.query, user, info.verb, info.resource_name))
        return user

    async def _dispatch(self, request: web.BaseRequest, info: RequestInfo, user: str) -> web.StreamResponse:
        if not info.resource_name:
            return self._plain_path(request, info)
        if info.group in KUBEVIRT_GROUPS and not self.kubevirt_installed:
            return web.Response(status=404, text=PAGE_NOT_FOUND)
        if info.group == SUBRESOURCES_GROUP:
            return await self._subresource(request, info)
        if info.method == "POST" and (review := reviews.REVIEWS.get((info.group, info.resource_name))):
            return _json(review(self.access, user, writes.read_body(await request.read()) or {}), 201)
        if info.resource is None:
            return web.Response(status=404, text=PAGE_NOT_FOUND)
        return await self._serve_resource(request, info, info.resource)

    async def _serve_resource(
        self, request: web.BaseRequest, info: RequestInfo, resource: Resource
    ) -> web.StreamResponse:
        match info.verb:
            case "get":
                return self._get(request, info, resource)
            case "list":
                return self._list(request, info, resource)
            case "watch":
                return await self._watch(request, info, resource)
            case _:
                return await self._write(request, info, resource)

    def _plain_path(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        parts = [part for part in info.path.split("/") if part]
        if parts and parts[0] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        found = discovery.document(parts, host=request.host, kubevirt_installed=self.kubevirt_installed)
        return web.Response(status=404, text=PAGE_NOT_FOUND) if found is None else _json(found)

    def _get(self, request: web.BaseRequest, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        namespace = info.namespace if resource.namespaced else ""
        record = self.store.get(resource, namespace, info.name)
        if record is None:
            raise status.not_found(resource, info.name)
        if _wants_table(request):
            return _bytes(tables.render(resource, [record], {"resourceVersion": str(record.revision)}))
        return _bytes(record.data)

    def _list(self, request: web.BaseRequest, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        page = self.snapshots.page(resource, info)
        if _wants_table(request):
            return _bytes(tables.render(resource, page.records, page.metadata()))
        return _bytes(pages.render(resource, page))

    async def _watch(self, request: web.BaseRequest, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        options = read_watch_options(info, watch_list=self.faults.watch_list)
        stream = WatchStream(self.store, resource, options, bookmark_seconds=self.bookmark_seconds)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if self.faults.close_watches_at_once:
            return response
        self.faults.streams.add(stream)
        try:
            await stream.run(response)
        except ConnectionAbortedError:
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the client hung up
        finally:
            self.faults.streams.discard(stream)
        return response

    async def _write(self, request: web.BaseRequest, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        body = writes.read_body(await request.read())
        manager = info.query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0]
        match info.verb:
            case "create":
                written = writes.create(self.objects, resource, info, body, manager)
            case "update":
                written = writes.update(self.objects, resource, info, body, manager)
            case "patch":
                if request.content_type != writes.MERGE_PATCH:
                    raise status.unsupported_patch(writes.MERGE_PATCH)
                written = writes.patch(self.objects, resource, info, body, manager)
            case "delete":
                written = writes.delete(self.objects, resource, info, body)
            case verb:
                raise StatusError(405, f"the server does not allow this method on the requested resource: {verb}")
        return _bytes(written.data, written.code)

    async def _subresource(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        if info.resource_name == "version":
            return _json(discovery.kubevirt_version())
        try:
            resource = named(info.resource_name)
        except KeyError:
            return web.Response(status=404, text=PAGE_NOT_FOUND)
        if info.subresource not in resource.subresources or info.method != "PUT":
            raise StatusError(404, "the server could not find the requested resource", details={})
        body = writes.read_body(await request.read())
        code = self.actions.perform(resource, info.subresource, (info.namespace, info.name), body)
        return web.Response(status=code)


def status_response(error: StatusError) -> web.Response:
    """A Status with its code, and Retry-After if the error has one."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return web.Response(body=encode(error.body()), status=error.code, content_type="application/json", headers=headers)


def _json(document: Any, code: int = 200) -> web.Response:
    return _bytes(encode(document), code)


def _bytes(data: bytes, code: int = 200) -> web.Response:
    return web.Response(body=data, status=code, content_type="application/json")


def _wants_table(request: web.BaseRequest) -> bool:
    return tables.is_wanted(request.headers.get("Accept", ""))


def _certificate_user(request: web.BaseRequest) -> str | None:
    certificate = request.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
