"""The apiserver: one request at a time, from fault switches through authorization to the answer."""

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from aiohttp import web

from summit_simulator.access.authorization import REVIEWS, Access
from summit_simulator.api import discovery, pages, requests, writes
from summit_simulator.api.acts import Act, act_of
from summit_simulator.api.faults import Faults, error_response
from summit_simulator.api.list_options import read_watch_options
from summit_simulator.api.requests import RequestInfo
from summit_simulator.api.watches import Injection, WatchStream
from summit_simulator.objects import status
from summit_simulator.objects.infrastructure import KUBEVIRT_VERSION
from summit_simulator.objects.manifest import encode
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, SUBRESOURCES_GROUP, VIRTUALMACHINES, Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Store
from summit_simulator.virtapi import vm_validator
from summit_simulator.virtapi.subresources import Handlers, Reply

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
    subresource: str


@dataclass(slots=True)
class ApiServer:
    store: Store
    objects: Objects
    access: Access
    faults: Faults
    requests: deque[LoggedRequest]
    acts: deque[Act]  # what was executed, refusals included
    subresources: Handlers
    bookmark_seconds: float = 60.0  # storage/cacher/cacher.go, defaultBookmarkFrequency
    absent_groups: frozenset[str] = frozenset()  # not installed

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; errors become Status objects."""
        info = requests.parse(request.method, request.path, dict(request.query))
        try:
            user = self._authenticate(request, info)
            if answer := await self.faults.before(info):
                return answer.response()
            if user is None:
                raise status.unauthorized()
            self.access.authorize(user, info.attributes)
            return await self._act(request, info, user)
        except StatusError as error:
            return error_response(error)
        except ConnectionAbortedError:  # a fault loses the answer
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # which nobody receives

    async def _act(self, request: web.BaseRequest, info: RequestInfo, user: str) -> web.StreamResponse:
        """Execute a request, unless a mishap spoils it; one that acts on a VM is noted."""
        is_write = info.verb in ("create", "update", "patch", "delete")
        act = act_of(info, writes.read_body(await request.read()), user) if is_write else None
        if act is None:
            return await self._dispatch(request, info, user)
        mishap = self.faults.acts.mishap_of(act)
        if mishap is None:
            return await self._execute(act, request, info)
        return await self.faults.acts.run(mishap, info, lambda: self._execute(act, request, info))

    async def _execute(self, act: Act, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        try:
            answer = await self._dispatch(request, info, act.user)
        except StatusError as error:
            self.acts.append(act._replace(code=error.code))
            raise
        self.acts.append(act._replace(code=answer.status))
        return answer

    def _authenticate(self, request: web.BaseRequest, info: RequestInfo) -> str | None:
        user = None
        with contextlib.suppress(StatusError):
            user = self.access.authenticate(request.headers.get("Authorization"), _certificate_user(request))
        self.requests.append(
            LoggedRequest(info.method, info.path, info.query, user, info.verb, info.resource_name, info.subresource)
        )
        return user

    async def _dispatch(self, request: web.BaseRequest, info: RequestInfo, user: str) -> web.StreamResponse:
        if not info.resource_name:
            return self._plain_path(info)
        is_served = info.group not in self.absent_groups
        if is_served and (info.group, info.resource_name) == (SUBRESOURCES_GROUP, "version"):
            return _answer(encode(discovery.version(KUBEVIRT_VERSION)))
        if is_served and info.group == SUBRESOURCES_GROUP:
            return await self._subresource(request, info)
        if info.method == "POST" and info.resource_name in REVIEWS:
            body = writes.read_body(await request.read()) or {}
            return _answer(encode(self.access.review(user, info.resource_name, body)), 201)
        if not is_served or info.resource is None:
            return web.Response(status=404, text=PAGE_NOT_FOUND)
        return await self._serve(request, info, info.resource, user)

    async def _subresource(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        if self.faults.virt_api_down:
            return web.Response(status=503, text="service unavailable\n")  # of the aggregation layer
        place = info.namespace, info.name
        if info.verb == "update":
            body = writes.read_body(await request.read())
            return _reply(self.subresources.put(info.resource_name, info.subresource, place, body))
        if info.verb == "get":
            return _reply(self.subresources.get(info.resource_name, info.subresource, place))
        raise StatusError(405, "the server does not allow this method on the requested resource")

    async def _serve(
        self, request: web.BaseRequest, info: RequestInfo, resource: Resource, user: str
    ) -> web.StreamResponse:
        match info.verb:
            case "get":
                return self._get(info, resource)
            case "list":
                return _answer(pages.render(resource, self._page(resource, info)))
            case "watch":
                return await self._watch(request, info, resource)
            case _:
                return await self._write(request, info, resource, user)

    def _page(self, resource: Resource, info: RequestInfo) -> pages.Page:
        if self.faults.continue_tokens is None:
            return pages.page(self.store, resource, info)
        query = {name: value for name, value in info.query.items() if name != "continue"}
        page = pages.page(self.store, resource, replace(info, query=query))
        return page._replace(continue_token=next(self.faults.continue_tokens))

    def _plain_path(self, info: RequestInfo) -> web.StreamResponse:
        parts = [part for part in info.path.split("/") if part]
        if parts and parts[0] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        found = discovery.document(parts, absent=self.absent_groups)
        return web.Response(status=404, text=PAGE_NOT_FOUND) if found is None else _answer(encode(found))

    def _get(self, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        record = self.store.get(resource, info.namespace if resource.namespaced else "", info.name)
        if record is None:
            raise status.not_found(resource, info.name)
        return _answer(record.data)

    async def _watch(self, request: web.BaseRequest, info: RequestInfo, resource: Resource) -> web.StreamResponse:
        options = read_watch_options(info, watch_list=self.faults.watch_list)
        if options.initial_events and not self.faults.watch_progress:
            raise StatusError(500, "Internal error occurred: RequestWatchProgress is disabled")
        if self.faults.drop_bookmarks:
            options = replace(options, bookmarks=False)
        stream = WatchStream(self.store, resource, options, bookmark_seconds=self.bookmark_seconds)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if self.faults.close_watches_at_once:
            return response
        if self.faults.watch_ending is not None:
            stream.inject(Injection(self.faults.watch_ending, "end"))
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

    async def _write(
        self, request: web.BaseRequest, info: RequestInfo, resource: Resource, user: str
    ) -> web.StreamResponse:
        body = writes.read_body(await request.read())
        manager = info.query.get("fieldManager") or request.headers.get("User-Agent", "unknown").split("/")[0]
        writer = writes.Writer(user, manager)
        if self.faults.virt_api_down and resource in (VIRTUALMACHINES, MIGRATIONS) and info.verb != "delete":
            raise status.webhook_unreachable(vm_validator.WEBHOOK)
        match info.verb:
            case "create":
                return _answer(writes.create(self.objects, resource, info, body, writer), 201)
            case "update":
                written = writes.update(self.objects, resource, info, body, writer)
            case "patch":
                if request.content_type != writes.MERGE_PATCH:
                    # Custom resources have no merge keys for a strategic merge patch; no other format is simulated.
                    text = "the body of the request was in an unknown format - accepted media types include"
                    raise StatusError(415, f"{text}: {writes.MERGE_PATCH}")
                written = writes.patch(self.objects, resource, info, body, writer)
            case "delete":
                written = writes.delete(self.objects, resource, info, body)
            case verb:
                raise StatusError(405, f"the server does not allow this method on the requested resource: {verb}")
        return _answer(written)


def _answer(data: bytes, code: int = 200) -> web.Response:
    return web.Response(body=data, status=code, content_type="application/json")


def _reply(reply: Reply) -> web.Response:
    if reply.document is not None:
        return _answer(encode(reply.document), reply.code)
    return web.Response(status=reply.code, text=reply.text)


def _certificate_user(request: web.BaseRequest) -> str | None:
    certificate = request.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
