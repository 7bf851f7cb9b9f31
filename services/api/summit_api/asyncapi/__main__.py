"""`python -m summit_api.asyncapi` prints the document; `docs/asyncapi.json` is that, committed and compared."""

import sys

from summit_api.asyncapi.document import document

if __name__ == "__main__":
    sys.stdout.write(document())
