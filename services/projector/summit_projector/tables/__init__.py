"""The tables as the projector writes them."""
