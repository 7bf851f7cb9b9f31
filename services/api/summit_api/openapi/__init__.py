"""The OpenAPI document: what routes declare in `responses=`, and what the document adds to FastAPI's."""
