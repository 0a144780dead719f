import os
import platform
import resource
import threading

import numpy as np
import psutil
import tensorflow as tf
import threadpoolctl

from tf_transfer.utils import environment


def test_versions_are_those_of_what_runs():
    versions = environment.package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["tensorflow"] == tf.__version__
    assert {"keras", "tf_transfer"} <= set(versions)


def test_the_number_of_processors_is_plausible():
    assert 1 <= environment.processors() <= os.cpu_count()


def test_memory_is_what_the_process_may_use(tmp_path, monkeypatch):
    memory = environment.memory()
    assert 2**28 < memory <= psutil.virtual_memory().total
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(environment, "_CONTAINER", limit)
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2
    )
    whole = environment.memory()
    for text, expected in (("max\n", whole), (f"{2**20}\n", 2**20)):
        limit.write_text(text)
        assert environment.memory() == expected
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**10, 2**11))
    assert environment.memory() == 2**10


def test_items_are_worked_on_together_with_one_thread_each():
    both = threading.Barrier(2 if environment.processors() > 1 else 1)

    def work(first, second):
        if first < 2:
            both.wait(timeout=10)
        blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
        return first + second, {each["num_threads"] for each in blas.info()}

    found = environment.in_threads(work, [0, 1, 2], [10, 20, 30])
    assert found == [(10, {1}), (21, {1}), (32, {1})]


def test_one_thread_holds_within_and_not_after():
    def threads():
        return {each["num_threads"] for each in threadpoolctl.threadpool_info()}

    before = threads()
    with environment.one_thread():
        assert threads() == {1}
    assert threads() == before
    assert environment.one_thread()(threads)() == {1}
    assert environment.one_thread()(lambda x: x + 1)(1) == 2
