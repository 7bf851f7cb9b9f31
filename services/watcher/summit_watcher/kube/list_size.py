"""How much of one list has been read. A server that never ends its list must not fill the memory."""

from summit_watcher.kube.bounds import LIST_OBJECTS, LIST_PAGES
from summit_watcher.kube.errors import OversizedError


class ListSize:
    """Counts what a list brings, and raises OversizedError beyond the bounds."""

    def __init__(self, plural: str, *, objects: int = LIST_OBJECTS, pages: int = LIST_PAGES) -> None:
        self._plural = plural
        self._most_objects, self._most_pages = objects, pages
        self._objects = 0
        self._tokens: set[int] = set()
        """Digests of the `continue` tokens; one for each page."""

    def add_objects(self, count: int) -> None:
        self._objects += count
        if self._objects > self._most_objects:
            raise OversizedError(f"the list of {self._plural} has more than {self._most_objects} objects")

    def add_page(self, continue_token: str | None) -> None:
        """Note a page, and the token that leads to the next one."""
        if continue_token is None:
            return
        token = hash(continue_token)
        if token in self._tokens:
            raise OversizedError(f"the list of {self._plural} has no end: a continue token came twice")
        self._tokens.add(token)
        if len(self._tokens) > self._most_pages:
            raise OversizedError(f"the list of {self._plural} has more than {self._most_pages} pages")
