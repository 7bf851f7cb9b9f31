"""An example of a JSON schema, put together from the examples of its members."""

from collections.abc import Mapping
from typing import Any

_REF = "#/components/schemas/"

_TIME = "2026-08-21T02:14:22Z"
_OF_TYPE: Mapping[str, Any] = {"string": "", "integer": 1, "number": 1.0, "boolean": False, "null": None}


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """The example that the schema has, else its default, else a likely value of its type."""
    if reference := schema.get("$ref"):
        schema = schemas[reference.removeprefix(_REF)] | {name: schema[name] for name in schema if name != "$ref"}
    if "example" in schema:
        return schema["example"]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if alternatives := schema.get("anyOf"):
        likely = example_of(alternatives[0], schemas)
        return likely or None  # a member that can be null and has no example
    return _of_type(schema, schemas)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: example_of(member, schemas) for name, member in schema["properties"].items()}
        case "object":
            return {}
        case "array":
            return [example_of(schema["items"], schemas)] if "items" in schema else []
        case "string" if schema.get("format") == "date-time":
            return _TIME
        case str(known):
            return _OF_TYPE[known]
        case _:
            return None
