"""SIGTERM as a request to save and stop."""

import signal
import threading

from tf_transfer.errors import Stopped


class StopSignal:
    """Notes a SIGTERM while a training runs; a second one stops at once.

    Attributes:
        requested: whether a SIGTERM has come since `listen`.

    Example:

    >>> stop_signal = StopSignal()
    >>> stop_signal.listen()
    >>> stop_signal.requested
    False
    >>> stop_signal.restore()
    """

    def __init__(self):
        self.requested = False
        self._previous_handler = None

    def listen(self) -> None:
        """Handles SIGTERM from now on, in the main thread."""
        self.requested = False
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGTERM, self._handle)

    def restore(self) -> None:
        """Gives SIGTERM back to the handler before `listen`."""
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)
        self._previous_handler = None

    def _handle(self, number, frame) -> None:
        if self.requested:
            raise Stopped
        self.requested = True
