"""Kills a run many times and compares it with an uninterrupted one. JSON.

python tests/benchmarks/crash.py --kills=20 --jobs=2

A run of `tf-transfer compare` in a child process is killed with SIGKILL and
started again: when it writes a file of a kind that was not hit yet, while a
checkpoint or result is being written, and at random moments. With several
processes, every fourth kill is of a worker alone, and the command must end with
status 3. A run that ends before all kinds were hit is followed by a new one.

`resumed` counts the restarts that continued the run; `workers` the kills of
workers; `hit` the kills by the kind of file that was being written; `missed`
lists the kinds without one; `identical` says whether the weights of all models,
the results (except seconds) and the importance weights equal those of a run
that was never killed, bit for bit. It takes about twenty minutes on two cores.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

LIMIT = 900.0  # seconds to wait before giving up
MOST_RUNS = 5
LOST = 3  # the status of a command one of whose workers was killed
HOOK = pathlib.Path(__file__).with_name("kill_hook.py")
BY_HOOK = (
    *("config.json", "predictions", "models", "results.json", "weights.csv"),
    *("figures", "data.json", "export", "report.html"),
)
KINDS = (*BY_HOOK[:1], "stage checkpoints", "tensorboard", *BY_HOOK[1:])
"""In the order in which a run writes them."""


def start(
    out: pathlib.Path, settings: list[str], **environment: str
) -> subprocess.Popen:
    """Starts the command in a new process."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tf_transfer.cli", "compare", "--quiet"),
            f"--out={out}",
            *settings,
        ],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(child: subprocess.Popen) -> None:
    """Waits for the command to end successfully."""
    _, errors = child.communicate(timeout=LIMIT)
    if child.returncode:
        raise RuntimeError(errors.decode())


def written(out: pathlib.Path) -> dict[str, int]:
    """Returns the time of the last change of every file of the run."""
    times = {}
    for path in out.rglob("*"):
        try:
            times[str(path)] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return times


def wait(child: subprocess.Popen, reached, pause: float) -> bool:
    """Waits for a condition; returns False if the child ended before."""
    until = time.monotonic() + LIMIT
    while not reached():
        if child.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(pause)
    return child.poll() is None


def saving(out: pathlib.Path) -> bool:
    """Whether a file is being written."""
    return any("_temp" in name or "partial" in name for name in written(out))


def killed(child: subprocess.Popen, alive: bool) -> bool:
    """Kills a run, and returns `alive`; False if it has ended by itself."""
    if child.poll() is not None:
        finish(child)
        return False
    child.kill()
    child.communicate()
    return alive


def kill(out, settings, rng, in_saving: bool) -> bool:
    """Starts the run, lets it make progress, and kills it.

    Returns:
        Whether it made progress and was killed before its end.
    """
    child = start(out, settings)
    before = written(out)
    # Its first checkpoint or result shows that it has continued.
    alive = wait(child, lambda: written(out) != before, pause=0.01)
    if alive and in_saving:
        alive = wait(child, lambda: saving(out), pause=0)
    elif alive:
        time.sleep(rng.uniform(0, 2))
    return killed(child, alive)


def kill_writer(out, settings, kind: str, moment: str) -> int:
    """Kills the process of a run that writes a file of some kind.

    Returns:
        The status of the command: 0 if it ended before, `LOST` if the process
        was a worker.
    """
    if kind not in BY_HOOK:  # TensorFlow writes it by itself
        return -kill_library(out, settings, kind)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HOOK, pathlib.Path(folder) / "sitecustomize.py")
        paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        child = start(
            out,
            settings,
            PYTHONPATH=os.pathsep.join(paths),
            CRASH_KIND=kind,
            CRASH_MOMENT=moment,
        )
        _, errors = child.communicate(timeout=LIMIT)
    if child.returncode not in (0, -signal.SIGKILL, LOST):
        raise RuntimeError(errors.decode())
    if child.returncode and not any(
        "partial-" in name for name in written(out)
    ):
        raise RuntimeError(f"nothing was being written: {kind}, {moment}")
    return child.returncode


def kill_library(out, settings, kind: str) -> bool:
    """Kills a run when TensorFlow is writing a checkpoint, or logs."""
    child = start(out, settings)
    before = written(out)

    def reached() -> bool:
        names = written(out).keys() - before.keys()
        if kind == "stage checkpoints":
            return any("_temp" in name for name in names)
        return any("tfevents" in name for name in names)

    alive = wait(child, reached, pause=0)
    return killed(child, alive)


def kill_worker(out, settings, rng) -> bool:
    """Kills a worker of a run alone, while it trains."""
    child = start(out, settings)
    before = written(out)
    alive = wait(child, lambda: written(out) != before, pause=0.01)
    if alive:
        time.sleep(rng.uniform(0, 2))
    workers = workers_of(child)
    if workers:
        os.kill(rng.choice(workers), signal.SIGKILL)
    _, errors = child.communicate(timeout=LIMIT)
    if child.returncode not in (0, LOST):
        raise RuntimeError(errors.decode())
    return child.returncode == LOST


def workers_of(child: subprocess.Popen) -> list[int]:
    """Returns the numbers of the processes that a command has started."""
    workers = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # Behind the name, which may hold anything.
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            words = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == child.pid and b"spawn_main" in words:
            workers.append(int(path.name))
    return workers


def content(out: pathlib.Path) -> dict[str, object]:
    """Returns the results and weights of a run by name, without seconds."""
    contents = {path.name: path.read_text() for path in out.glob("*.csv")}
    for result in json.loads((out / "results.json").read_text()):
        del result["seconds"]
        for name, value in result.items():
            contents[f"{result['method']}-{result['seed']} {name}"] = value
    for path in sorted((out / "checkpoints").glob("*.keras")):
        model = keras.saving.load_model(path, compile=False)
        contents[path.name] = [w.tobytes() for w in model.get_weights()]
    return contents


def differences(one: dict, other: dict) -> list[str]:
    """Names the contents that differ between two runs, bit for bit."""
    names = sorted(one.keys() | other.keys())
    return [name for name in names if one.get(name) != other.get(name)]


def run(kills: int, seed: int, settings: list[str]) -> dict:
    """Returns the numbers of kills and restarts, and the differences."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = (pathlib.Path(folder) / n for n in ("whole", "broken"))
        finish(start(whole, settings))
        done = sum(kill(broken, settings, rng, i % 2) for i in range(kills))
        before = written(broken)
        finish(start(broken, settings))
        different = differences(content(whole), content(broken))
        return {
            "kills": done,
            "resumed": done - (written(broken) == before),
            "identical": not different,
            "different": different,
        }


def missed(hit: collections.Counter) -> list[str]:
    """Returns the kinds of files that were not hit."""
    return [kind for kind in KINDS if not hit[kind]]


def run_all(kills: int, seed: int, settings: list[str], jobs: int) -> dict:
    """Kills until every kind of file was hit; for the figures, see above."""
    rng = random.Random(seed)
    settings = [*settings, f"--jobs={jobs}"]
    done = unchanged = workers = runs = 0
    hit, different = collections.Counter(), set()
    with tempfile.TemporaryDirectory() as folder:
        whole = pathlib.Path(folder) / "whole"
        finish(start(whole, settings))
        expected = content(whole)
        while runs < MOST_RUNS and (done < kills or missed(hit)):
            runs += 1
            broken, killed = whole.with_name(f"broken-{runs}"), True
            while killed and (done < kills or missed(hit)):
                turn = done % 4 if done < kills else 0
                if turn == 3 and jobs > 1:
                    killed = kill_worker(broken, settings, rng)
                    workers += killed
                elif missed(hit) and (turn != 1 or not done):
                    kind = missed(hit)[0]
                    moment = ("begun", "written")[done // 2 % 2]
                    status = kill_writer(broken, settings, kind, moment)
                    killed = status != 0
                    workers += status == LOST
                    hit[kind] += killed
                else:
                    killed = kill(broken, settings, rng, done % 2)
                done += killed
            before = written(broken)
            finish(start(broken, settings))
            unchanged += killed and written(broken) == before
            different |= {*differences(expected, content(broken))}
    return {
        "kills": done,
        "resumed": done - unchanged,
        "runs": runs,
        "workers": workers,
        "hit": hit,
        "missed": missed(hit),
        "identical": not different,
        "different": sorted(different),
    }


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    options, settings = parser.parse_known_args()
    settings = settings or [
        f"--config.seeds={options.jobs}",
        "--config.checkpoint_every=10",
    ]
    figures = run_all(options.kills, options.seed, settings, options.jobs)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
