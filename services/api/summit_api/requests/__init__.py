"""From a request to what its route needs: the principal, the parameters, the body, the tables as of one moment."""
