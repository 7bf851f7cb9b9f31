"""The OpenAPI document: what routes declare in `responses=`, and what the document says beyond FastAPI."""
