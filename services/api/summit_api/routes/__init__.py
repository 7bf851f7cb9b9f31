"""One module per resource: parameters in, one query, one answer out."""
