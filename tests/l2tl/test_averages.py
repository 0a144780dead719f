import tensorflow as tf

from tf_transfer.l2tl.averages import Averages


def test_averages_of_an_epoch():
    averages = Averages(["loss", "reward"])
    again = Averages.from_config(averages.get_config())
    assert again.get_config() == averages.get_config()
    averages.update_state({"loss": 3.0, "reward": 1.0, "other": 9.0})
    averages.update_state({"loss": tf.constant(1.0)})
    means = {name: float(mean) for name, mean in averages.result().items()}
    assert means == {"loss": 2.0, "reward": 0.5}
    averages.reset_state()
    assert float(averages.result()["loss"]) == 0


def test_bfloat16_as_the_default_float_counts_beyond_256(default_float):
    default_float("bfloat16")
    averages = Averages(["loss"])
    for step in range(400):
        averages.update_state({"loss": float(step % 2)})
    assert float(averages.result()["loss"]) == 0.5
