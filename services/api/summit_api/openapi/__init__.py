"""The OpenAPI document: declarations of routes in `responses=`, and additions to FastAPI's document."""
