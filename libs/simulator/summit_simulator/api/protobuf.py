"""Bodies in protobuf: kubectl sends namespaces so, as all objects of the core group.

This reads what `kubectl create ns` writes, and no more: type, name and labels.
Source: apimachinery, runtime/generated.proto (Unknown) and meta/v1/generated.proto (ObjectMeta).
"""

from collections.abc import Iterator

from summit_simulator.objects.manifest import Manifest
from summit_simulator.objects.status import StatusError

MAGIC = b"k8s\x00"
_LENGTH_DELIMITED = 2


def read_object(body: bytes) -> Manifest:
    """The object in a body that begins with MAGIC. Raises StatusError 400 if it cannot be read."""
    try:
        unknown = dict(_fields(body.removeprefix(MAGIC)))
        names, metadata = dict(_fields(unknown[1])), list(_fields(dict(_fields(unknown[2]))[1]))
        labels = [dict(_fields(value)) for number, value in metadata if number == 11]
        return {
            "apiVersion": names[1].decode(),
            "kind": names[2].decode(),
            "metadata": {
                "name": dict(metadata).get(1, b"").decode(),
                "labels": {label[1].decode(): label.get(2, b"").decode() for label in labels},
            },
        }
    except (KeyError, IndexError, UnicodeDecodeError) as error:
        raise StatusError(400, f"error decoding body: {error}") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each field; numbers are passed over, as nothing that is read is one."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag & 7 == _LENGTH_DELIMITED:
            yield tag >> 3, message[at : at + length]
            at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
