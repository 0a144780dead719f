import subprocess

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import helpers
from tf_transfer.commands import failures, main
from tf_transfer.data import loading
from tf_transfer.errors import InputError


@pytest.mark.parametrize(
    "message",
    [
        "Graph execution error:\n\nDetected at node sgd/x (most recent call "
        f"last):\n{' File' * 99}\n\nCollective ops is aborted by: recvmsg:"
        "Connection reset by peer\nfrom remote target /job:worker/task:1",
        "recvmsg:Connection reset by peer\n"
        "from remote target /job:worker/task:1",
    ],
    ids=["graph", "plain"],
)
def test_a_lost_worker_is_one_line_that_names_it_and_status_3(
    monkeypatch, capsys, message
):
    def lost(argv):
        with failures.explained("multi_worker", "run"):
            raise tf.errors.UnavailableError(
                None, None, f"{message} {'x ' * 300}"
            )

    monkeypatch.setattr(main, "run", lost)
    status, _, err = helpers.call_command(monkeypatch, capsys, "compare")
    assert status == 3
    assert err.count("\n") == 1
    assert "is gone; start all of them again" in err
    _, cause = err.split("Received: UnavailableError: ")
    assert cause.startswith(
        "recvmsg:Connection reset by peer from remote target /job:worker/task:1"
    )
    assert len(cause) < 210


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8.00 EiB"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
    ],
    ids=["python", "numpy", "tensorflow"],
)
def test_too_little_memory_is_one_sentence(error):
    with (
        pytest.raises(InputError, match=r"memory is too small.* Received: \w"),
        failures.explained("none", "run"),
    ):
        raise error


@pytest.mark.filterwarnings("default:Black images")
@pytest.mark.parametrize("damaged", ["refuse", "skip"])
def test_a_file_that_is_found_damaged_in_training(
    tmp_path, monkeypatch, capsys, damaged
):
    monkeypatch.setattr(loading, "_MEASURED", 1)
    command = helpers.tiny_command(tmp_path)[3:]
    for name, count in (("source", 12), ("target", 9)):
        for i in range(4 * count):
            file = tmp_path / name / f"class {i % 4}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((9, 9, 3), 20 * (i % 4) + i, np.uint8)
            PIL.Image.fromarray(pixels).save(file)
        command.append(f"--config.data.{name}=folder:{tmp_path}/{name}")
    file = next((tmp_path / "source").rglob("17.png"))
    file.write_bytes(file.read_bytes()[:40])
    command += [
        "--config.data.decode=as_needed",
        f"--config.data.damaged={damaged}",
    ]
    status, _, err = helpers.call_command(monkeypatch, capsys, *command)
    assert "17.png" in err
    assert "Traceback" not in err
    if damaged == "skip":
        assert status == 0
        assert err.count("Black images stand for 1 image files") == 1
        return
    assert status == 2
    assert "1 image files cannot be read" in err
    again = [*command, "--config.data.damaged=skip"]
    status, _, err = helpers.call_command(monkeypatch, capsys, *again)
    assert status == 0
    assert "Black images stand for 1 image files" in err


def in_a_small_disk(tmp_path, options, command):
    """Runs a command with a small file system on `tmp_path/run`."""
    (tmp_path / "run").mkdir()
    mount = f"mount -t tmpfs -o {options} none {tmp_path / 'run'}"
    script = f'{mount} || exit 99; "$@"; status=$?; ls -R {tmp_path / "run"}'
    try:
        finished = subprocess.run(
            [
                *("unshare", "-rm", "sh", "-c", f"{script}; exit $status"),
                "sh",
                *command,
            ],
            capture_output=True,
            text=True,
            timeout=400,
        )
    except FileNotFoundError:
        pytest.skip("needs unshare, to mount a small disk")
    if finished.returncode == 99 or "unshare" in finished.stderr:
        pytest.skip(f"cannot mount a small disk: {finished.stderr.strip()}")
    return finished


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "600k"])
def test_a_full_disk_is_one_sentence(tmp_path, size):
    command = helpers.tiny_command(tmp_path)
    finished = in_a_small_disk(tmp_path, f"size={size}", command)
    assert finished.returncode == 2, finished.stderr
    last = finished.stderr.strip().splitlines()[-1]
    assert "cannot be written (No space left on device" in last
    assert "Traceback" not in finished.stderr
    assert "partial-" not in finished.stdout


@pytest.mark.slow
def test_a_read_only_folder_is_one_sentence(tmp_path):
    command = helpers.tiny_command(tmp_path)
    finished = in_a_small_disk(tmp_path, "ro", command)
    assert finished.returncode == 2, finished.stderr
    last = finished.stderr.strip().splitlines()[-1]
    assert last == (
        "tf-transfer: The folder cannot be written (Read-only file system). "
        f"Received: {tmp_path / 'run'}"
    )
