"""How far the tables are, and how events bring them further: a run of messages becomes a transaction, or a few.

An event that cannot be applied costs only itself: a transaction that the database refuses is halved until that event
stands alone, and becomes a dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from summit_projector.project import Batch, Epochs, dead_letter, project
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.writer import TableWriter, UnstorableError
from summit_runtime.nats.streams.consumer import StreamMessage


@dataclass
class Progress:
    writer: TableWriter
    checkpoint: Checkpoint
    epochs: Epochs

    async def apply(self, messages: Sequence[StreamMessage]) -> Sequence[Batch]:
        """Apply messages that follow the checkpoint, and return what was committed: one batch if all is well.

        Raises what `TableWriter.commit` raises, but for what one event alone has caused.
        """
        try:
            return [await self._commit(project(messages, self.epochs))]
        except UnstorableError as error:
            if len(messages) == 1:
                return [await self._commit(dead_letter(messages[0], str(error), self.epochs))]
        middle = len(messages) // 2
        return [*await self.apply(messages[:middle]), *await self.apply(messages[middle:])]

    async def _commit(self, batch: Batch) -> Batch:
        self.checkpoint = await self.writer.commit(batch, self.checkpoint)
        self.epochs = batch.epochs
        return batch
