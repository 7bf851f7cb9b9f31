"""Just enough protobuf to understand kubectl's access reviews.

kubectl 1.32 sends built-in types as protobuf only, and `kubectl auth can-i` is what one tries first when a role is
in doubt. The answer goes out as JSON, which it accepts. Field numbers are those of k8s.io/api,
authorization/v1/generated.proto; the envelope is apimachinery's runtime.Unknown behind four magic bytes.
"""

from collections.abc import Iterator

from summit_simulator.objects.manifest import Manifest

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_RAW, _SPEC, _RESOURCE, _PATH = 2, 2, 1, 2
_RESOURCE_FIELDS = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_PATH_FIELDS = {1: "path", 2: "verb"}


def read_access_review(body: bytes) -> Manifest:
    """The spec of a SelfSubjectAccessReview; {} for bytes that are none."""
    spec = _message(_message(dict(_fields(body.removeprefix(MAGIC))).get(_RAW, b"")).get(_SPEC, b""))
    found: Manifest = {}
    if _RESOURCE in spec:
        found["resourceAttributes"] = _texts(spec[_RESOURCE], _RESOURCE_FIELDS)
    if _PATH in spec:
        found["nonResourceAttributes"] = _texts(spec[_PATH], _PATH_FIELDS)
    return {"spec": found}


def _message(data: bytes) -> dict[int, bytes]:
    return dict(_fields(data))


def _texts(data: bytes, names: dict[int, str]) -> dict[str, str]:
    return {names[number]: text.decode() for number, text in _fields(data) if number in names}


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields by number; these messages have no others."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        length, at = _varint(data, at)
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, at
