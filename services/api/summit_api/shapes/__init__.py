"""The answers' shapes as models: they name the members once, and are the pages of the OpenAPI document."""
