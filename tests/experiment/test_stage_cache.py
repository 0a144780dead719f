import pytest

from tf_transfer.experiment import stage_cache


class Folder:
    """A run's folder, as far as a ledger needs one."""

    def __init__(self, path):
        self.path = path

    def stages(self, name, seed):
        return self.path / f"{name}-{seed}"


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, in a list of one."""
    passed = [100.0]
    monkeypatch.setattr(stage_cache.time, "monotonic", lambda: passed[0])
    return passed


@pytest.fixture
def book(tmp_path, clock):
    return stage_cache.StageCache(Folder(tmp_path), seed=3)


def test_each_method_pays_once_for_what_is_trained_once(book, clock):
    calls = []

    def train():
        calls.append(book.next_folder().relative_to(book._folder.path))
        clock[0] += 5
        book.add("pretraining", {"loss": [1.0]}, before=2)
        return ["state"]

    for seconds in (5 + 2, 7, 7):
        book.begin()
        for _ in range(2):
            assert book.share("unweighted", train) == ["state"]
        assert book.seconds() == seconds
        assert book.history == {"pretraining": {"loss": [1.0]}}
    assert [str(call) for call in calls] == ["unweighted-3/0"]


def test_the_logs_of_the_method_and_of_what_it_shares_are_told_apart(book):
    book.add("head", {"loss": [3.0]}, before=0)
    book.share("one", lambda: book.add("tuning", {"loss": [2.0]}, before=0))
    assert book.history == {"head": {"loss": [3.0]}, "tuning": {"loss": [2.0]}}
    book.begin()
    book.share("one", lambda: None)
    assert book.history == {"tuning": {"loss": [2.0]}}


def test_stages_are_numbered_within_what_they_belong_to(book, tmp_path):
    assert book.next_folder() is None
    with book.keeping("datl"):
        assert book.next_folder() == tmp_path / "datl-3" / "0"
        with book.keeping("generalist"):
            assert book.next_folder() == tmp_path / "generalist-3" / "0"
        assert book.next_folder() == tmp_path / "datl-3" / "1"
    assert book.next_folder() is None
