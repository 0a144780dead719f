"""The benchmarks run, and what they found still holds. No time is asserted."""

import argparse
import importlib.util

import conftest
import pytest

from tf_transfer import splits


def load(name):
    """Imports a script of tests/benchmarks."""
    path = conftest.REPOSITORY / "tests" / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_policy_finds_the_useful_classes(shared_data):
    benchmark = load("policy_learns")
    parts = benchmark.load("mnist"), benchmark.load("fashion_mnist")
    source = benchmark.mixture(*parts, seed=0)
    assert source.num_classes == 30
    assert len(source.labels) == 18000
    split = splits.split_target(benchmark.load("usps"), 10, 5, seed=0)
    found = benchmark.train(source, split, "feature", seed=0)
    assert found["area"]["all"] > 0.85
    assert found["mean_weight"][0] > 1.5


@pytest.mark.slow
def test_the_cost_of_a_step_is_measured():
    options = argparse.Namespace(batch=8, width=4, rounds=1, steps=2)
    found = load("l2tl_step").compare("feature", 50, 5, options)
    assert found["ratio"] > 0
    assert found["state_mb"] >= 0


@pytest.mark.slow
def test_three_kills_leave_no_trace(tmp_path):
    command = conftest.tiny_command(tmp_path)
    settings = [part for part in command if part.startswith("--config.")]
    found = load("crash").run(3, 0, settings)
    assert found == {
        "kills": 3,
        "resumed": 3,
        "identical": True,
        "different": [],
    }


@pytest.mark.slow
def test_memory_stays_flat():
    found = load("scale").run(400_000, 2_000)
    assert found["resample"]["growth_mb"] < 50
    assert found["resample"]["share_error"] < 0.02


@pytest.mark.slow
def test_the_cost_of_serving_is_measured():
    options = argparse.Namespace(
        encoder="small",
        width=4,
        side=8,
        raw_side=12,
        batches=[2],
        rounds=1,
        count=2,
    )
    found = load("serving").run(options)["batch 2"]
    assert all(ratio > 0 for ratio in found["ratio"].values())
    assert found["requests"]["serve_bytes"]["p99_ms"] > 0
