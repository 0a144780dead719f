"""The exceptions of this package."""


class InputError(ValueError):
    """An argument, a setting or a file cannot be used.

    The message is one sentence, followed by the value received. The command
    line prints it and exits with status 2.

    Example:

    >>> import tf_transfer as tt
    >>> try:
    ...     tt.WeightPolicy(3, levels=1)
    ... except InputError as error:
    ...     print(error)
    `levels` must be at least 2. Received: levels=1
    """


class DivergedError(InputError):
    """A training has led to values that are no numbers."""


class WorkerLostError(RuntimeError):
    """Another worker of the cluster no longer answers.

    The command line prints it and exits with status 3.
    """


class Stopped(BaseException):
    """The process was terminated (SIGTERM) and has saved its work.

    Like `KeyboardInterrupt` it is no `Exception`, so that code which handles
    errors does not catch it. The command line exits with status 143.

    Example:

    >>> issubclass(Stopped, Exception)
    False
    """
