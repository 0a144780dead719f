import contextlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests import helpers
from tf_transfer import config as config_lib
from tf_transfer.errors import InputError
from tf_transfer.experiment.records import results
from tf_transfer.experiment.records.results import Predictions
from tf_transfer.experiment.records.run_folder import (
    RunFolder,
    predictions_name,
)


def test_continues_the_same_configuration(tmp_path):
    first = RunFolder(tmp_path / "run", helpers.tiny_experiment())
    result = helpers.result("scratch")
    first.add(result)
    again = RunFolder(tmp_path / "run", helpers.tiny_experiment())
    assert again.result("scratch", 0) == result
    assert again.result("scratch", 1) is None


def test_one_command_works_in_a_folder_at_a_time(tmp_path):
    path, config = tmp_path / "run", helpers.tiny_experiment()
    with RunFolder(path, config, alone=True):
        # Not even of the configuration is anything said.
        for other in (config, helpers.tiny_experiment(seeds=2)):
            with pytest.raises(InputError, match="Another command is at work"):
                RunFolder(path, other, alone=True)
        RunFolder(path, config)  # a process of the first command
        assert (path / "config.json").exists()
    with RunFolder(path, config, alone=True):  # the first has ended
        pass


def test_refuses_another_configuration_and_names_the_field(tmp_path):
    RunFolder(tmp_path / "run", helpers.tiny_experiment())
    with pytest.raises(InputError, match=r"\(seeds: 1 and 2\)"):
        RunFolder(tmp_path / "run", helpers.tiny_experiment(seeds=2))
    with pytest.raises(InputError, match=r"its source was another"):
        RunFolder(
            tmp_path / "run", helpers.tiny_experiment(), {"source": "abc"}
        )


def test_a_run_from_before_a_setting_was_there_goes_on(tmp_path):
    path = tmp_path / "run" / "config.json"
    RunFolder(tmp_path / "run", helpers.tiny_experiment())
    old = json.loads(path.read_text())
    del old["encoder"]["weights"]
    del old["relevant"]
    path.write_text(json.dumps(old))
    RunFolder(tmp_path / "run", helpers.tiny_experiment())
    assert json.loads(path.read_text()) == old
    other = config_lib.Encoder(width=4, form="flat", weights="imagenet")
    with pytest.raises(InputError, match=r"\(encoder.weights:  and imagenet\)"):
        RunFolder(tmp_path / "run", helpers.tiny_experiment(encoder=other))


def test_refuses_a_folder_of_something_else(tmp_path):
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(InputError, match="not empty and holds no run"):
        RunFolder(tmp_path, helpers.tiny_experiment())
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_another_worker_may_look_while_the_chief_makes_the_folder(tmp_path):
    """Whatever there is by then, the settings are not yet."""
    config = helpers.tiny_experiment()
    for name in (
        "partial-config.json",
        "checkpoints",
        "checkpoints/datl-0.keras",
    ):
        (tmp_path / name).mkdir(parents=True)
        folder = RunFolder(tmp_path, config, writes=False)
        folder.add(helpers.result("datl"))
        assert folder.result("datl", 0)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("step", ["mkdir", "open", "replace"])
def test_a_start_killed_at_any_step_can_be_repeated(
    tmp_path, monkeypatch, step
):
    """Between the steps there is never what would be refused."""
    real, calls = getattr(os, step), []

    def killed(*arguments, **named):
        calls.append(arguments)
        if len(calls) == kill:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    kill, whole = 0, False
    while not whole:
        out, kill = tmp_path / str(kill), kill + 1
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, step, killed)
            with contextlib.suppress(KeyboardInterrupt):
                RunFolder(out, helpers.tiny_experiment())
            whole = len(calls) < kill
        RunFolder(out, helpers.tiny_experiment())
        assert (out / "config.json").exists()
    assert kill == {"mkdir": 3, "open": kill, "replace": 2}[step] > 1


def test_refuses_what_cannot_be_written_or_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be"):
        RunFolder(tmp_path / "file" / "run", helpers.tiny_experiment())
    for damaged in ("{", "[]", "3"):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(InputError, match=r"cannot be read.*config\.json"):
            RunFolder(tmp_path, helpers.tiny_experiment())


def test_forgets_the_stages_of_a_finished_seed_alone(tmp_path):
    folder = RunFolder(tmp_path / "run", helpers.tiny_experiment())
    for seed in (1, 11):
        folder.stage_path("datl", seed, 0).mkdir(parents=True)
    folder.stage_path("joint", 11, 0).mkdir(parents=True)
    folder.forget_stages(11, "joint")
    assert not folder.stage_path("joint", 11, 0).exists()
    folder.forget_stages(0)
    folder.forget_stages(1)
    assert not folder.stage_path("datl", 1, 0).exists()
    assert folder.stage_path("datl", 11, 0).exists()
    folder.forget_stages(11)
    assert not any((folder.path / "checkpoints").iterdir())


def test_files_are_whole_or_absent(tmp_path):
    folder = RunFolder(tmp_path / "run", helpers.tiny_experiment())
    with pytest.raises(TypeError):
        folder.write("bad.json", {"x": object()})
    assert not (folder.path / "bad.json").exists()
    folder.save_model(helpers.tiny_classifier(), "datl", 3)
    names = [p.name for p in (folder.path / "checkpoints").iterdir()]
    assert names == ["datl-3.keras"]


def keys(results):
    return [(result.method, result.seed) for result in results]


def test_two_who_add_lose_no_result(tmp_path):
    one, other = (
        RunFolder(tmp_path / "run", helpers.tiny_experiment()) for _ in range(2)
    )
    one.add(helpers.result("datl", 1))
    other.add(helpers.result("datl", 0))
    one.add(helpers.result("l2tl", 0))
    expected = [("datl", 0), ("l2tl", 0), ("datl", 1)]
    assert keys(one.results) == expected
    assert keys(results.read(one.files)) == expected
    assert other.result("l2tl", 0) is None
    other.refresh()
    assert keys(other.results) == expected
    names = {path.name for path in one.path.iterdir()}
    assert names == {"config.json", "results.json", "checkpoints"}


ADDER = """
import sys
import threading
from tf_transfer.config import Experiment
from tf_transfer.experiment.records.results import Result, Scores
from tf_transfer.experiment.records.run_folder import RunFolder

scores = Scores(accuracy=0.5, loss=1.0)
folder = RunFolder(sys.argv[1], Experiment())
print("ready", flush=True)
sys.stdin.readline()
for seed in range(100):
    folder.add(
        Result(
            method=sys.argv[2],
            seed=seed,
            test=scores,
            validation=scores,
            learning_rate=0.02,
            seconds=1.0,
            history={},
        )
    )
"""


@pytest.mark.slow
def test_processes_that_add_at_once_lose_no_result(tmp_path):
    RunFolder(tmp_path / "run", config_lib.Experiment())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, str(tmp_path / "run"), method],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for method in ("datl", "l2tl")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=100)
        assert process.returncode == 0
    folder = RunFolder(tmp_path / "run", config_lib.Experiment())
    seeds = [result.seed for result in folder.results]
    assert seeds == sorted([*range(100)] * 2)
    assert len(set(keys(folder.results))) == 200


def test_a_process_that_does_not_write_keeps_its_results(tmp_path):
    experiment = helpers.tiny_experiment()
    RunFolder(tmp_path / "run", experiment)
    other = RunFolder(tmp_path / "run", experiment, writes=False)
    other.add(helpers.result("datl"))
    assert other.result("datl", 0)
    assert not (tmp_path / "run" / "results.json").exists()


def test_predictions_are_kept_but_by_one_who_does_not_write(tmp_path):
    predictions = Predictions.of(np.eye(3), np.arange(3))
    for writes in (True, False):
        folder = RunFolder(
            tmp_path / "run", helpers.tiny_experiment(), writes=writes
        )
        folder.save_predictions(predictions, "datl", int(not writes))
    (path,) = (tmp_path / "run" / "predictions").iterdir()
    assert path == tmp_path / "run" / predictions_name("datl", 0)
    with np.load(path) as file:
        assert [*file] == ["label", "predicted", "probability"]
        np.testing.assert_array_equal(file["label"], np.arange(3))


def test_refuses_damaged_results(tmp_path):
    folder = RunFolder(tmp_path / "run", helpers.tiny_experiment())
    folder.write("results.json", [3])
    with pytest.raises(InputError, match=r"`results\[0\]` must be an object"):
        RunFolder(folder.path, helpers.tiny_experiment())


def test_of_two_commands_that_start_together_one_goes_on(tmp_path):
    """Neither goes on under the configuration of the other."""
    configs = [helpers.tiny_experiment(seeds=seeds) for seeds in (1, 2)]
    for attempt in range(50):
        path, started = tmp_path / str(attempt), []
        together = threading.Barrier(2)

        def start(config, path=path, started=started, together=together):
            together.wait()
            with contextlib.suppress(InputError):
                started.append((config, RunFolder(path, config, alone=True)))

        threads = [threading.Thread(target=start, args=(c,)) for c in configs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((config, folder),) = started
        stored = json.loads((path / "config.json").read_text())
        assert stored["seeds"] == config.seeds
        folder.__exit__(None, None, None)
