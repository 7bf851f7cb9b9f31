"""Addresses of servers without their secrets, for screens, sentences and logs."""

import re


def public_address(url: str) -> str:
    """Remove user and password, for each server in a list; NATS accepts a token as the user.

    Remove the options too: Postgres accepts a password there.
    """
    return re.sub(r"[^/,]*@", "", url).partition("?")[0]
