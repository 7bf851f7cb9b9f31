"""Tables, how far they are, and how they are brought on: a run of messages becomes a transaction, or a few.

An event that cannot be applied costs only itself: a transaction that the database refuses is halved until that event
stands alone, and becomes a dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from summit_projector.project import Batch, Epochs, dead_letter, project
from summit_projector.recovery.stream_identity import Position
from summit_projector.tables.store import Store, UnstorableError
from summit_runtime.nats.consumer import StreamMessage


@dataclass
class Progress:
    store: Store
    position: Position
    epochs: Epochs

    async def apply(self, messages: Sequence[StreamMessage]) -> Sequence[Batch]:
        """Apply messages that follow `position` in the stream, and give what was committed: one batch if all is well.

        Raises what `Store.commit` raises, but for what one event alone has caused.
        """
        try:
            return [await self._commit(project(messages, self.epochs))]
        except UnstorableError as error:
            if len(messages) == 1:
                return [await self._commit(dead_letter(messages[0], str(error), self.epochs))]
        middle = len(messages) // 2
        return [*await self.apply(messages[:middle]), *await self.apply(messages[middle:])]

    async def _commit(self, batch: Batch) -> Batch:
        self.position = await self.store.commit(batch, self.position)
        self.epochs = batch.epochs
        return batch
