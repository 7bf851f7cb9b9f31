"""From a request to what its route needs: who asks, the parameters, the body, the tables as of one moment."""
