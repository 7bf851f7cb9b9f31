"""The services of tests log in to NATS as they do in an installation: each with the user of its role."""

from urllib.parse import urlsplit

from summit_runtime.nats.rights import Role
from summit_standalone.embedded.nats import role_url


def as_role(url: str, role: Role) -> str:
    """The address of an embedded server for this role, given that of its administrator. Other servers have no roles."""
    return role_url(url, role) if urlsplit(url).username == Role.ADMIN else url
