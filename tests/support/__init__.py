"""What tests share: real servers, builders of input, and ways to wait and to look."""
