"""Keys whose objects changed, and the one timer that each key may have (client-go's workqueue, in small)."""

from collections import deque
from collections.abc import Callable

from summit_simulator.controllers.decisions import Step
from summit_simulator.objects.clock import Clock, Timer
from summit_simulator.objects.store import Key

# Every step brings an object further; more rounds than this mean that one has no effect.
MAX_ROUNDS = 100_000


class WorkQueue:
    """Asks `decide` about each added key, and performs the step at its time."""

    def __init__(
        self, clock: Clock, *, decide: Callable[[Key], Step | None], perform: Callable[[Key, Step], None]
    ) -> None:
        self._clock = clock
        self._decide = decide
        self._perform = perform
        self._keys: deque[Key] = deque()
        self._timers: dict[Key, tuple[Step, Timer]] = {}
        self._is_draining = False
        self._is_stopped = False

    def stop(self) -> None:
        """Decide and perform nothing until started again; keys are kept."""
        self._is_stopped = True

    def start(self) -> None:
        """Go on with everything that was added meanwhile."""
        self._is_stopped = False
        self._drain()

    def add(self, key: Key) -> None:
        """Decide about this key now, or right after the step that is being performed."""
        if key not in self._keys:
            self._keys.append(key)
        if not self._is_draining and not self._is_stopped:
            self._drain()

    def _drain(self) -> None:
        self._is_draining = True
        try:
            for _ in range(MAX_ROUNDS):
                if not self._keys:
                    return
                self._consider(self._keys.popleft())
            raise RuntimeError(f"the controllers do not come to rest, at {self._keys[0]!r}")
        finally:
            self._is_draining = False

    def _consider(self, key: Key) -> None:
        step = self._decide(key)
        waiting = self._timers.get(key)
        if step is not None and waiting is not None and waiting[0] == step:
            return  # an unrelated change does not restart the wait
        if waiting is not None:
            waiting[1].cancel()
            del self._timers[key]
        if step is None:
            return
        if step.after_seconds <= 0:
            self._perform(key, step)
            self.add(key)
        else:
            timer = self._clock.call_after(step.after_seconds, lambda: self._fire(key, step))
            self._timers[key] = (step, timer)

    def _fire(self, key: Key, step: Step) -> None:
        self._timers.pop(key, None)
        if not self._is_stopped and self._decide(key) == step:
            self._perform(key, step)
        self.add(key)
