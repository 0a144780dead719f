"""Kills a run many times and compares it with an uninterrupted one. JSON.

python tests/benchmarks/crash.py --kills=20

A run of `tf-transfer compare` in a child process is killed with SIGKILL and
started again. Every other kill comes while a checkpoint or result is being
written, the others at random moments. `resumed` counts the restarts that
continued the run; `identical` says whether the weights of all models, the
results (except seconds) and the importance weights equal those of a run that
was never killed, bit for bit. It takes about ten minutes on two cores.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

LIMIT = 900.0  # seconds to wait before giving up


def start(out: pathlib.Path, settings: list[str]) -> subprocess.Popen:
    """Starts the command in a new process."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tf_transfer.cli", "compare", "--quiet"),
            f"--out={out}",
            *settings,
        ],
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
    if child.poll() is not None:
        finish(child)
        return False
    child.kill()
    child.communicate()
    return alive


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


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options, settings = parser.parse_known_args()
    settings = settings or ["--config.seeds=1", "--config.checkpoint_every=10"]
    print(json.dumps(run(options.kills, options.seed, settings)))


if __name__ == "__main__":
    main()
