"""Recovery when the stream is not the one that the tables are from: go back, or replay and replace."""
