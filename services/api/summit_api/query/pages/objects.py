"""A row as a JSON object that Postgres builds, for lists whose items are the rows."""

from collections.abc import Mapping

from sqlalchemy import DateTime, Table


def json_object(table: Table, members: Mapping[str, str]) -> str:
    """SQL of an object with these members, each of a column. Times are in UTC with a `Z`, whatever the session's time
    zone is.
    """
    pairs = ", ".join(f"'{alias}', {_value(table, name)}" for alias, name in members.items())
    return f"json_build_object({pairs})::text"


def _value(table: Table, name: str) -> str:
    if isinstance(table.c[name].type, DateTime):
        return f"(to_json({name} AT TIME ZONE 'UTC') #>> '{{}}') || 'Z'"
    return name
