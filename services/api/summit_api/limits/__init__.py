"""How much one may ask for, so that nobody keeps the others from it."""
