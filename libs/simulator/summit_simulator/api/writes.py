"""POST, PUT, PATCH and DELETE as HTTP: bodies in, the written object out."""

from typing import Any

import msgspec

from summit_simulator.api import admission, protobuf
from summit_simulator.api.requests import RequestInfo
from summit_simulator.objects import status
from summit_simulator.objects.manifest import Manifest, encode, merge, metadata, part
from summit_simulator.objects.objects import Objects, Part
from summit_simulator.objects.resources import NAMESPACES, Resource
from summit_simulator.objects.status import StatusError

MERGE_PATCH = "application/merge-patch+json"


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


def create(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> bytes:
    """POST. Raises StatusError 400, 404 (no namespace), 409 and 422."""
    manifest = _object(resource, info, body)
    meta = metadata(manifest)
    if not meta.get("name") and not meta.get("generateName"):
        cause = ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        raise status.invalid(resource.kind, resource.group, "", [cause])
    if resource.namespaced and objects.find(NAMESPACES, "", meta["namespace"]) is None:
        raise status.not_found(NAMESPACES, meta["namespace"])
    admission.admit_create(objects, resource, manifest)
    return objects.create(resource, manifest, manager=manager).data


def update(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> bytes:
    """PUT of the object or of its status."""
    manifest = _object(resource, info, body)
    metadata(manifest).setdefault("name", info.name)
    return _update(objects, resource, info, manifest, manager)


def patch(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> bytes:
    """PATCH by an RFC 7386 merge patch, which may name the resourceVersion that it expects."""
    if not isinstance(body, dict):
        raise StatusError(400, "the body of the request must be an object")
    wanted = merge(objects.read(resource, info.namespace, info.name), body)
    metadata(wanted)["resourceVersion"] = metadata(body).get("resourceVersion")
    return _update(objects, resource, info, wanted, manager)


def delete(objects: Objects, resource: Resource, info: RequestInfo, body: Any) -> bytes:
    """DELETE one object: a Status when it is gone, the object while finalizers keep it."""
    preconditions = part(body or {}, "preconditions")
    record, is_gone = objects.delete(resource, info.namespace, info.name, preconditions=preconditions)
    if not is_gone:
        return record.data
    details = {"name": record.name, "group": resource.group, "kind": resource.plural, "uid": record.uid}
    answer: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return encode(answer | {"details": details})


def _update(objects: Objects, resource: Resource, info: RequestInfo, manifest: Manifest, manager: str) -> bytes:
    written: Part = "status" if info.subresource == "status" else "object"
    if written == "object":
        admission.admit_update(objects, resource, manifest)
    return objects.update(resource, manifest, manager=manager, part=written).data


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
