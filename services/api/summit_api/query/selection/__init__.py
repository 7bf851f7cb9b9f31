"""Which rows a request is about: filters, label selectors and free text, as SQL and for the states of the feed."""
