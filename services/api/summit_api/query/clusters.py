"""Clusters as the tables have them: the last change of state of each."""

from summit_api.access.principal import Scope
from summit_api.query.arguments import Arguments, where
from summit_api.query.read_transaction import ReadTransaction
from summit_models.cluster import ClusterHealth

_MEMBERS = ", ".join(f"'{name}', {name}" for name in ClusterHealth.model_fields)
_SELECT = f"SELECT json_build_object({_MEMBERS})::text FROM clusters"  # noqa: S608  names are our own


async def listed(transaction: ReadTransaction, scope: Scope) -> list[ClusterHealth]:
    """By name. A cluster is in no namespace, so a principal that is limited to namespaces sees it too."""
    arguments = Arguments()
    visible = where(scope.conditions(arguments.bind, namespace=None))
    rows = await transaction.fetch(f"{_SELECT} {visible} ORDER BY name", *arguments)
    return [ClusterHealth.model_validate_json(row) for (row,) in rows]
