"""POST, PUT, PATCH and DELETE as HTTP: bodies in, the written object out."""

from typing import Any, NamedTuple

import msgspec
import yaml

from summit_simulator.api import admission, status
from summit_simulator.api.patches import json_patch, merge
from summit_simulator.api.requests import RequestInfo
from summit_simulator.api.resources import NAMESPACES, Resource
from summit_simulator.api.status import StatusError
from summit_simulator.objects.manifest import Manifest, decode, encode, metadata
from summit_simulator.objects.objects import Objects, Part
from summit_simulator.objects.store import Record

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class Written(NamedTuple):
    """The answer to a write."""

    code: int
    data: bytes


def read_body(body: bytes, content_type: str) -> Any:
    """The JSON or YAML of a body, None for none. Raises StatusError 400 for neither."""
    if not body.strip():
        return None
    try:
        return yaml.safe_load(body) if "yaml" in content_type else msgspec.json.decode(body)
    except (yaml.YAMLError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StatusError(400, f"error decoding body: {error}") from error


def create(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> Written:
    """POST. Raises StatusError 400, 404 (no namespace), 409 and 422."""
    manifest = _object(resource, info, body)
    meta = metadata(manifest)
    if not meta.get("name") and not meta.get("generateName"):
        cause = ("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
        raise status.invalid(resource.kind, resource.group, "", [cause])
    if resource.namespaced and objects.find(NAMESPACES, "", meta["namespace"]) is None:
        raise status.not_found(NAMESPACES, meta["namespace"])
    admission.admit_create(objects, resource, manifest)
    record = objects.create(resource, manifest, manager=manager, dry_run=_is_dry_run(info))
    return Written(201, record.data)


def update(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> Written:
    """PUT of the object or of its status."""
    manifest = _object(resource, info, body)
    metadata(manifest).setdefault("name", info.name)
    return Written(200, _update(objects, resource, info, manifest, manager).data)


def patch(
    objects: Objects, resource: Resource, info: RequestInfo, body: Any, *, content_type: str, manager: str
) -> Written:
    """PATCH in the three formats of custom resources. Server-side apply creates what is not there."""
    if content_type == APPLY_PATCH:
        return _apply(objects, resource, info, body, manager)
    current = objects.read(resource, info.namespace, info.name)
    if content_type == MERGE_PATCH and isinstance(body, dict):
        wanted = merge(current, body)
        version = metadata(body).get("resourceVersion")
    elif content_type == JSON_PATCH and isinstance(body, list):
        wanted = json_patch(current, body)
        version = None
    else:
        accepted = f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}"
        raise StatusError(
            415,
            f"the body of the request was in an unknown format - accepted media types include: {accepted}",
        )
    metadata(wanted)["resourceVersion"] = version
    return Written(200, _update(objects, resource, info, wanted, manager).data)


def delete(objects: Objects, resource: Resource, info: RequestInfo, body: Any) -> Written:
    """DELETE one object: 200 with a Status when it is gone, with the object while finalizers keep it."""
    options = body if isinstance(body, dict) else {}
    dry_run = _is_dry_run(info) or "All" in (options.get("dryRun") or ())
    preconditions = options.get("preconditions") or {}
    record, is_gone = objects.delete(resource, info.namespace, info.name, preconditions=preconditions, dry_run=dry_run)
    if not is_gone:
        return Written(200, record.data)
    details = {"name": record.name, "group": resource.group, "kind": resource.plural, "uid": record.uid}
    details = {field: text for field, text in details.items() if text}
    answer: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return Written(200, msgspec.json.encode(answer | {"details": details}))


def delete_collection(objects: Objects, resource: Resource, records: list[Record]) -> Written:
    """DELETE what a list selects."""
    for record in records:
        objects.delete(resource, record.namespace, record.name)
    items = [decode(record.data) for record in records]
    answer = {"apiVersion": resource.api_version, "kind": f"{resource.kind}List", "items": items}
    return Written(200, encode(answer | {"metadata": {}}))


def _apply(objects: Objects, resource: Resource, info: RequestInfo, body: Any, manager: str) -> Written:
    # Ownership of single fields is not tracked: an apply is a merge, or a create.
    manifest = _object(resource, info, body)
    current = objects.find(resource, info.namespace, info.name)
    if current is None:
        metadata(manifest).setdefault("name", info.name)
        return create(objects, resource, info, manifest, manager)
    wanted = merge(current, manifest)
    metadata(wanted)["resourceVersion"] = metadata(manifest).get("resourceVersion")
    return Written(200, _update(objects, resource, info, wanted, manager).data)


def _update(objects: Objects, resource: Resource, info: RequestInfo, manifest: Manifest, manager: str) -> Record:
    part: Part = "status" if info.subresource == "status" else "object"
    if part == "object":
        admission.admit_update(objects, resource, manifest)
    return objects.update(resource, manifest, manager=manager, part=part, dry_run=_is_dry_run(info))


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


def _is_dry_run(info: RequestInfo) -> bool:
    return info.query.get("dryRun") == "All"
