"""Text that others wrote, made fit for a log line or an answer.

A newline could forge a log line, a control character could change a terminal, and half of a surrogate pair, which JSON
can contain, cannot be encoded at all.
"""


def printable(text: str, longest: int) -> str:
    """The text with each character that is not printable as an escape, cut to `longest` characters."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
