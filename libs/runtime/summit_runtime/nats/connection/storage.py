"""How streams and buckets are made that do not exist: what NATS_REPLICAS and NATS_MAX_BYTES say."""

from typing import NamedTuple


class Storage(NamedTuple):
    """What exists stays as it is, whatever these are."""

    replicas: int | None = None
    """On how many servers each is kept; None: on one."""
    max_bytes: int | None = None
    """Size of the log beyond which its oldest events go; None: their age alone decides."""


ONE_SERVER = Storage()
