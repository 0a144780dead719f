import os
import signal

import pytest

from tf_transfer.errors import Stopped
from tf_transfer.training.stop_signal import StopSignal


def test_the_first_signal_is_noted_and_the_second_stops():
    before = signal.getsignal(signal.SIGTERM)
    stop_signal = StopSignal()
    stop_signal.listen()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_signal.requested
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        stop_signal.restore()
    assert signal.getsignal(signal.SIGTERM) is before
    stop_signal.listen()
    assert not stop_signal.requested
    stop_signal.restore()
