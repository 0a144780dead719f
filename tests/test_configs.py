import importlib.util

import conftest
import pytest

from tf_transfer import config, experiment

CONFIGS = sorted((conftest.REPOSITORY / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_loads_and_gives_its_command(path):
    spec = importlib.util.spec_from_file_location("settings", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = module.get_config()
    config.check(settings)
    assert set(settings.methods) <= set(experiment.METHODS)
    assert f"tf-transfer compare --config=configs/{path.name}" in module.__doc__
