"""Writing to the log: many events in batches, and single ones onto the one before them."""
