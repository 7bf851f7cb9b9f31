"""Addresses of servers as they may be shown: on a screen, in a sentence, in a log."""

import re


def public_address(url: str) -> str:
    """Without user and password, of each server in a list; NATS takes a token as the user, so that goes as well.

    Options go too: Postgres takes a password there.
    """
    return re.sub(r"[^/,]*@", "", url).partition("?")[0]
