"""POST, PUT, PATCH and DELETE as HTTP: bodies in, the written object out."""

from typing import Any, NamedTuple

import msgspec

from summit_simulator.api import protobuf
from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, encode, merge, metadata, part
from summit_simulator.objects.objects import PROPAGATION, Objects, Part
from summit_simulator.objects.resources import NAMESPACES, Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.virtapi import admission

MERGE_PATCH = "application/merge-patch+json"


class Writer(NamedTuple):
    """Who writes, for the webhooks and for managedFields."""

    user: str
    manager: str


def read_body(body: bytes) -> Any:
    """The object in a body, None for an empty one. Raises StatusError 400 for anything else."""
    if not body.strip():
        return None
    if body.startswith(protobuf.MAGIC):
        return protobuf.read_object(body)
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise StatusError(400, f"error decoding body: {error}") from error


def create(objects: Objects, resource: Resource, info: RequestInfo, body: Any, writer: Writer) -> bytes:
    """POST. Raises StatusError 400, 404 (no namespace), 409 and 422. Webhooks come before the look at the name."""
    manifest = _object(resource, info, body)
    meta = metadata(manifest)
    if not meta.get("name") and not meta.get("generateName"):
        cause = ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        raise status.invalid(resource.kind, resource.group, "", [cause])
    if resource.namespaced and objects.find(NAMESPACES, "", meta["namespace"]) is None:
        raise status.not_found(NAMESPACES, meta["namespace"])
    admission.admit_create(objects, resource, manifest, user=writer.user)
    return objects.create(resource, manifest, manager=writer.manager, dry_run=_is_dry_run(info)).data


def update(objects: Objects, resource: Resource, info: RequestInfo, body: Any, writer: Writer) -> bytes:
    """PUT of the object or of its status."""
    manifest = _object(resource, info, body)
    metadata(manifest).setdefault("name", info.name)
    return _update(objects, resource, info, manifest, writer)


def patch(objects: Objects, resource: Resource, info: RequestInfo, body: Any, writer: Writer) -> bytes:
    """PATCH by an RFC 7386 merge patch, which may name the resourceVersion and the uid that it expects."""
    if not isinstance(body, dict):
        raise StatusError(400, "the body of the request must be an object")
    wanted = merge(objects.read(resource, info.namespace, info.name), body)
    metadata(wanted)["resourceVersion"] = metadata(body).get("resourceVersion")
    return _update(objects, resource, info, wanted, writer)


def delete(objects: Objects, resource: Resource, info: RequestInfo, body: Any) -> bytes:
    """DELETE one object: a Status when it is gone, the object while finalizers keep it."""
    options = _delete_options(info, body)
    policy = options.get("propagationPolicy") or "Background"
    if policy not in PROPAGATION:
        expected = '"Orphan", "Background", "Foreground", "nil"'
        message = f'Unsupported value: "{policy}": supported values: {expected}'
        cause = ("propagationPolicy", "FieldValueNotSupported", message)
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [cause])
    record, is_gone = objects.delete(
        resource,
        info.namespace,
        info.name,
        preconditions=part(options, "preconditions"),
        finalizer=PROPAGATION[policy],
        dry_run=_is_dry_run(info) or "All" in (options.get("dryRun") or ()),
    )
    if not is_gone:
        return record.data
    details = {"name": record.name, "group": resource.group, "kind": resource.plural, "uid": record.uid}
    answer: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return encode(answer | {"details": details})


def _delete_options(info: RequestInfo, body: Any) -> Manifest:
    """DeleteOptions in the body, where there is none from the query."""
    if body is None:
        return {name: value for name, value in info.query.items() if name == "propagationPolicy"}
    if not isinstance(body, dict):
        raise StatusError(400, "the body of the request must be an object")
    return body


def _is_dry_run(info: RequestInfo) -> bool:
    return info.query.get("dryRun") == "All"


def _update(objects: Objects, resource: Resource, info: RequestInfo, manifest: Manifest, writer: Writer) -> bytes:
    written: Part = "status" if info.subresource == "status" else "object"
    if written == "object":
        admission.admit_update(objects, resource, manifest)
    record = objects.update(resource, manifest, manager=writer.manager, part=written, dry_run=_is_dry_run(info))
    return record.data


def _object(resource: Resource, info: RequestInfo, body: Any) -> Manifest:
    if not isinstance(body, dict):
        raise StatusError(400, "the body of the request must be an object")
    for member, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if body.get(member, expected) != expected:
            raise StatusError(
                400, f"the {member} in the data ({body[member]}) does not match the expected {member} ({expected})"
            )
    meta = body.setdefault("metadata", {})
    if resource.namespaced:
        if meta.setdefault("namespace", info.namespace) != info.namespace:
            raise StatusError(
                400, "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        meta.pop("namespace", None)
    if info.name and meta.get("name", info.name) != info.name:
        message = f"the name of the object ({meta['name']}) does not match the name on the URL ({info.name})"
        raise StatusError(400, message)
    return body
