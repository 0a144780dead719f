import dataclasses
import errno
import json
import os
import pathlib
import pickle
import signal
import sys
import time

import pytest
import tensorflow as tf

import tf_transfer as tt
from tests import helpers
from tf_transfer.errors import InputError, Stopped, WorkerLostError
from tf_transfer.experiment.methods import METHODS
from tf_transfer.utils import environment, processes

# The child processes import this file, too.


def fails_or_waits(folder, number):
    """Call 0 fails once the other call has started, which then waits."""
    (pathlib.Path(folder) / f"started-{number}").write_text(str(os.getpid()))
    if number:
        time.sleep(300)
    wait_for(folder, "started-1")
    raise InputError("The moon cannot be used. Received: cheese")


def dies(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def has_a_fault(folder):
    raise ZeroDivisionError


def fails(error):
    raise error


def has_a_full_disk(folder):
    raise OSError(28, "No space left on device")


def writes_threads(folder, number):
    threads = [
        tf.config.threading.get_intra_op_parallelism_threads(),
        tf.config.threading.get_inter_op_parallelism_threads(),
    ]
    (pathlib.Path(folder) / f"{number}.json").write_text(json.dumps(threads))


def wait_for(folder, *names):
    until = time.monotonic() + 200
    while not all((pathlib.Path(folder) / name).exists() for name in names):
        assert time.monotonic() < until, f"no {names} in {folder}"
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
        # A zombie stays in the table until its parent waits for it.
        return " Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not pathlib.Path("/proc/self").exists()


def pids(folder):
    return [int(path.read_text()) for path in folder.glob("started-*")]


def test_no_calls_need_no_process():
    processes.side_by_side(dies, [])


def test_silenced_discards_standard_error_and_restores_it(capfd):
    with processes.silenced():
        os.write(2, b"noise")
    os.write(2, b"sentence")
    assert capfd.readouterr().err == "sentence"


@pytest.mark.slow
def test_an_input_error_reaches_the_caller_and_the_others_are_ended(tmp_path):
    started = time.monotonic()
    calls = [(str(tmp_path), number) for number in range(2)]
    with pytest.raises(InputError, match=r"The moon.*Received: cheese"):
        processes.side_by_side(fails_or_waits, calls)
    assert time.monotonic() - started < 250
    assert len(pids(tmp_path)) == 2
    assert not any(is_running(pid) for pid in pids(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (dies, WorkerLostError, r"was killed.*--jobs.*signal 9"),
        (has_a_fault, RuntimeError, "ended with status 1"),
        (has_a_full_disk, OSError, "No space left on device"),
    ],
)
def test_how_a_process_ends_is_raised(tmp_path, function, error, message):
    with pytest.raises(error, match=message):
        processes.side_by_side(function, [(str(tmp_path),)])


@pytest.mark.slow
def test_the_processors_are_shared_out(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "processors", lambda: 7)
    calls = [(str(tmp_path), number) for number in range(2)]
    processes.side_by_side(writes_threads, calls)
    for number in range(2):
        threads = json.loads((tmp_path / f"{number}.json").read_text())
        assert threads == [3, 3]


class Queue(list):
    """Errors that a process sends."""

    put = list.append


@pytest.fixture
def work(monkeypatch):
    """Runs the code of a new process in this one."""
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)
    tf.constant(0)  # from now on, TensorFlow's threads cannot be changed

    def work(error):
        errors = Queue()
        packed = pickle.dumps((fails, (error,)))
        processes._work(packed, 1, errors)
        return errors

    return work


def test_errors_of_the_machine_reach_the_calling_process(work):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error in (
        InputError("Bad. Received: 3"),
        full,
        tf.errors.ResourceExhaustedError(None, None, "No space left"),
    ):
        (sent,) = work(error)
        received = pickle.loads(pickle.dumps(sent))
        assert (type(received), str(received)) == (type(error), str(error))
    with pytest.raises(ZeroDivisionError):
        work(ZeroDivisionError())
    for error in (Stopped(), KeyboardInterrupt()):
        with pytest.raises(SystemExit) as caught:
            work(error)
        assert caught.value.code == 1


def test_threads_are_unchanged_if_tensorflow_is_in_use():
    tf.constant(0)
    with pytest.raises(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(97)
    packed = pickle.dumps((fails, ("what",)))
    assert processes._unpack(packed, 97) == (fails, ("what",))


CALLER = """
import sys
sys.path.insert(0, {tests!r})
from tests.utils.test_processes import fails_or_waits
from tf_transfer.commands import main as cli
from tf_transfer.utils import environment, processes

def run(argv):
    calls = [({folder!r}, 1), ({folder!r}, 2)]
    processes.side_by_side(fails_or_waits, calls)

if __name__ == "__main__":
    cli.run = run
    cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
)
def test_the_processes_end_with_their_caller(tmp_path, number, status):
    """Whether it is terminated, interrupted or killed."""
    script = tmp_path / "caller.py"
    tests = str(helpers.REPOSITORY)
    script.write_text(CALLER.format(tests=tests, folder=str(tmp_path)))
    with helpers.started([sys.executable, str(script)]) as caller:
        wait_for(tmp_path, "started-1", "started-2")
        if number == signal.SIGINT:  # a terminal sends it to all of them
            for pid in pids(tmp_path):
                os.kill(pid, number)
        caller.send_signal(number)
        returned, errors = helpers.ended(caller, timeout=200)
    assert returned == status
    if status > 0:
        assert errors.endswith("the same command continues the run\n")
        assert "Traceback" not in errors
    until = time.monotonic() + 200
    while any(is_running(pid) for pid in pids(tmp_path)):
        assert time.monotonic() < until
        time.sleep(0.1)


def data():
    return {
        "source": helpers.blobs(per_class=20, classes=8),
        "target": helpers.blobs(per_class=20, classes=4, seed=1),
    }


def results(folder):
    entries = json.loads((folder / "results.json").read_text())
    for entry in entries:
        assert entry.pop("seconds") > 0
    return entries


def same(actual, expected):
    """Asserts that two structures are equal, their numbers up to rounding."""
    tf.nest.assert_same_structure(actual, expected)
    for one, other in zip(
        tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True
    ):
        assert one == (other if isinstance(other, str) else near(other))


def near(number):
    return pytest.approx(number, rel=1e-3, abs=1e-4)


def figures_of(rows):
    return [(row.method, row.accuracy, row.gain, row.chosen) for row in rows]


@pytest.mark.slow
def test_seeds_give_the_same_results_at_the_same_time_as_in_turn(
    tmp_path, monkeypatch
):
    config = helpers.tiny_experiment(methods=("finetune", "datl"), seeds=2)
    whole = tt.compare(config, tmp_path / "whole", quiet=True, **data())

    def interrupted(run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        method = dataclasses.replace(METHODS["datl"], train=interrupted)
        patch.setitem(METHODS, "datl", method)
        with pytest.raises(KeyboardInterrupt):
            tt.compare(config, tmp_path / "jobs", quiet=True, **data())
    assert len(results(tmp_path / "jobs")) == 1
    rows = tt.compare(config, tmp_path / "jobs", quiet=True, jobs=2, **data())
    assert figures_of(rows) == figures_of(whole)
    same(results(tmp_path / "jobs"), results(tmp_path / "whole"))
    helpers.same_models(tmp_path / "whole", tmp_path / "jobs", atol=1e-4)
    assert (tmp_path / "jobs" / "export" / "1").is_dir()
    written = (tmp_path / "jobs" / "results.json").stat().st_mtime_ns
    again = tt.compare(config, tmp_path / "jobs", quiet=True, **data())
    assert again == rows
    assert (tmp_path / "jobs" / "results.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("jobs", "strategy"),
    [
        (2, "mirrored"),
        (2, "multi_worker"),
        *((jobs, "none") for jobs in (0, -1, True, 1.5, "2", None)),
    ],
)
def test_invalid_jobs_are_one_sentence(tmp_path, jobs, strategy):
    config = helpers.tiny_experiment(strategy=strategy)
    with pytest.raises(InputError, match=r"`jobs` must be .*Received: jobs="):
        tt.compare(config, tmp_path / "run", jobs=jobs, **data())
    assert not (tmp_path / "run").exists()
