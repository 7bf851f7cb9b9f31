"""`python -m summit_api.openapi` prints the OpenAPI document; `docs/openapi.json` is that, committed and compared."""

import sys

from summit_api.openapi.document import document

sys.stdout.write(document())
