"""All benchmarks of speed in one table.

python -m tests.benchmarks --out=FOLDER

Runs the scripts of this folder one after another, each in its own process,
and writes `NAME.json` for each. `speed.json` and `speed.md` are made from all
such files in the output folder. A part that fails or takes too long is listed
in the table, and the others continue. It takes half an hour on two idle cores.

The table holds `big_source` and `early_learning`, too, if their output lies in
that folder as `NAME.json`; they take long, and are run by hand.

`--only=NAME` runs some parts (several names with commas); `--quick` runs a few
small steps of each, to check that they work. `label_shift` needs adapt and
skada: run it with a Python that has them, into the same folder.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
PARTS = {
    "startup": "--rounds=1 --imports_alone --snippets tensorflow tf_transfer",
    "resampling": "--rounds=1 --count=500 --batch=8 --examples=64 "
    "--rejected=16 --files=50 --side=16 --classes 4 --skewed=4 --records 4000",
    "weighting": "--rounds=1 --steps=2 --batch=8 --width=4 --classes=4 "
    "--many=5 --targets=16 --interval=40 --counts 16",
    "scores": "--rounds=1 --images=600 --classes=4 --targets=8 --sample=200 "
    "--width=4 --counts 1024",
    "label_shift": "--rounds=1 --rows 200",
    "l2tl_step": "--rounds=1 --steps=2 --batch=8 --widths 4 --credits gradient "
    "--classes --levels",
    "fit_overhead": "--rounds=1 --steps=10 --batch=8 --side=8 --width=4 "
    "--credits reinforce",
    "growth": "--rounds=1 --batches=2 --steps=1 --width=4 --classes 4 8 "
    "--images 16 32 --batch 4 8",
    "accelerator": "--cpu --precision=float32 --rounds=1 --steps=1 --batch=8 "
    "--encoder=small --side=8 --images=64 --classes=4 --credits feature",
    "photographs": "--photographs=20 --batch=4 --batches=2 --rounds=1",
    "jobs": "--rounds=1 --seeds=2 --quick",
    "main_job": "--configs glyphs_to_digits --seeds=1 --methods scratch "
    "--quick",
}
LIMIT = 900
LONG = ("big_source", "early_learning")


def measure(name: str, quick: bool, limit: float) -> dict:
    """Runs one script; returns its figures, or why there are none."""
    command = [sys.executable, str(HERE / f"{name}.py")]
    command += PARTS[name].split() if quick else []
    path = os.pathsep.join([str(HERE.parents[1]), *sys.path])
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit,
            env=os.environ | {"PYTHONPATH": path},
        )
        figures = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        figures = {"rows": [], "failed": f"took more than {limit:.0f} seconds"}
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        figures = {"rows": [], "failed": last[0]}
    return figures | {"seconds": round(time.monotonic() - started, 1)}


def goal(row: dict) -> str:
    """Describes the goal of a row."""
    if row["most"] is not None:
        return f"at most {row['most']:g}"
    return "" if row["least"] is None else f"at least {row['least']:g}"


def table(parts: dict[str, dict]) -> str:
    """Returns the parts as a Markdown table."""
    lines = [
        "| what | against | ratio | quartiles | pairs | goal | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    words = {True: "yes", False: "**no**", None: ""}
    for name, part in parts.items():
        for row in part["rows"]:
            low, high = row["quartiles"]
            cells = (
                row["what"],
                row["against"],
                f"{row['ratio']:g}",
                f"{low:g} .. {high:g}" if row["pairs"] > 1 else "",
                row["pairs"],
                goal(row),
                words[row["reached"]],
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
        for reason in [*part.get("absent", []), part.get("failed")]:
            if reason:
                lines.append(f"| {name} | | | | | | not run: {reason} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the parts and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/speed")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--limit", type=float, default=LIMIT)
    options = parser.parse_args()
    names = options.only.split(",")
    if set(names) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}")
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        figures = measure(name, options.quick, options.limit)
        print(f"{figures['seconds']} s", file=sys.stderr)
        text = json.dumps(figures, indent=1)
        (out / f"{name}.json").write_text(text + "\n")
    files = {name: out / f"{name}.json" for name in (*PARTS, *LONG)}
    parts = {
        name: json.loads(file.read_text())
        for name, file in files.items()
        if file.exists()
    }
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    whole = {"machine": machine, "parts": parts}
    (out / "speed.json").write_text(json.dumps(whole, indent=1) + "\n")
    text = table(parts)
    (out / "speed.md").write_text(f"Measured on {machine}.\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
