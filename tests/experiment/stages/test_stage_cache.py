import pytest

from tf_transfer.experiment.stages import stage_cache


class Folder:
    """A run's folder, as far as a cache of stages needs one."""

    def __init__(self, path):
        self.path = path

    def stage_path(self, name, seed, number):
        return self.path / f"{name}-{seed}" / str(number)


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, in a list of one."""
    passed = [100.0]
    monkeypatch.setattr(stage_cache.time, "monotonic", lambda: passed[0])
    return passed


@pytest.fixture
def cache(tmp_path, clock):
    return stage_cache.StageCache(Folder(tmp_path), seed=3)


def test_each_method_pays_once_for_what_is_trained_once(cache, clock):
    calls = []

    def train():
        calls.append(cache.next_folder().relative_to(cache._folder.path))
        clock[0] += 5
        cache.add("pretraining", {"loss": [1.0]}, seconds=2)
        return ["state"]

    for total in (5 + 2, 7, 7):
        cache.begin_method()
        for _ in range(2):
            assert cache.share("unweighted", train) == ["state"]
        assert cache.seconds() == total
        assert cache.history == {"pretraining": {"loss": [1.0]}}
    assert [str(call) for call in calls] == ["unweighted-3/0"]


def test_the_logs_of_the_method_and_of_what_it_shares_are_told_apart(cache):
    cache.add("head", {"loss": [3.0]}, seconds=0)
    cache.share("one", lambda: cache.add("tuning", {"loss": [2.0]}, seconds=0))
    assert cache.history == {"head": {"loss": [3.0]}, "tuning": {"loss": [2.0]}}
    cache.begin_method()
    cache.share("one", lambda: None)
    assert cache.history == {"tuning": {"loss": [2.0]}}


def test_stages_are_numbered_within_what_they_belong_to(cache, tmp_path):
    assert cache.next_folder() is None
    with cache.folders_of("datl"):
        assert cache.next_folder() == tmp_path / "datl-3" / "0"
        with cache.folders_of("generalist"):
            assert cache.next_folder() == tmp_path / "generalist-3" / "0"
        assert cache.next_folder() == tmp_path / "datl-3" / "1"
    assert cache.next_folder() is None
