import tf_transfer as tt


def test_input_error_is_a_value_error():
    assert issubclass(tt.InputError, ValueError)
