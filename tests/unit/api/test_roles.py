"""Each operation declares the role that it needs: a new one without a role fails here."""

from summit_api.access.principal import Role
from summit_api.openapi.description import roles
from summit_api.openapi.document import application

ROLES = roles(application())

OPEN = {"/", "/health", "/livez", "/healthz", "/readyz", "/docs", "/openapi.json", "/metrics"}
HARMLESS = {("POST", "/api/v1/tickets")}
"""It changes nothing, though its method says so: a ticket is not stored."""
CHANGING = {("GET", "/api/v1/migrate")}
"""The original migrates by GET, too."""


def test_all_operations_are_checked() -> None:
    """Otherwise the other tests would check nothing."""
    assert {("GET", "/api/v1/vms"), ("GET", "/health"), *HARMLESS} <= ROLES.keys()


def test_everything_but_probes_and_documents_needs_a_role() -> None:
    """Nothing is open by accident, and nothing that must be open is closed."""
    assert {path for (_, path), role in ROLES.items() if role is None} == OPEN


def test_reading_is_for_viewers_and_changing_for_operators() -> None:
    """A method that changes something needs more than the role of a reader."""
    changing = {operation: role for operation, role in ROLES.items() if operation[0] != "GET" or operation in CHANGING}
    assert {operation for operation, role in changing.items() if role is Role.VIEWER} == HARMLESS


def test_only_admins_edit_by_hand() -> None:
    """Datacenters, and virtual machines without a cluster."""
    for (method, path), role in ROLES.items():
        if "/admin/" in path and method != "GET":
            assert role is Role.ADMIN, path
