"""The live feed: every change of the tables, once, in order, to any number of HTTP clients."""
