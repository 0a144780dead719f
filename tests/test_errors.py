import tf_transfer as tt


def test_input_error_is_a_value_error_for_those_who_catch_that():
    assert issubclass(tt.InputError, ValueError)
