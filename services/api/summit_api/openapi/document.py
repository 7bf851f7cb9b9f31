"""The OpenAPI document: `python -m summit_api.openapi.document` prints it as `docs/openapi.json` has it."""

import json
import sys

from fastapi import FastAPI
from pydantic import SecretStr

from summit_api.app import create_app
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.services import Services


def application() -> FastAPI:
    """The api with all its operations and nothing behind them. Opens no connection."""
    return create_app(Services.over(ReadModels(SecretStr("postgresql://"))))


def document() -> str:
    """The document as it is committed: sorted, indented, one newline at the end."""
    return json.dumps(application().openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
