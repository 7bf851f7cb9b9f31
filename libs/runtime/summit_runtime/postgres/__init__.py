"""Postgres: what DATABASE_URL says, and whether a connection keeps its session."""
