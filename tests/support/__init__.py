"""Real servers, builders of input, and ways to wait and to look, for all tests."""
