"""The shapes of answers as models. They state each member once, for rendering and for the OpenAPI document."""
