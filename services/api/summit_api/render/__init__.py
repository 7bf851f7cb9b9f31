"""Answers as JSON, in the shapes of the original API and in ours."""
