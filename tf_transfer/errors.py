"""The exceptions of this package, each a sentence for a person."""


class InputError(ValueError):
    """Something given cannot be used.

    The message is one clear sentence for a person, ending in what was
    received. The command line prints it and exits with status 2.

    Example:

    >>> import tf_transfer as tt
    >>> try:
    ...     tt.WeightPolicy(3, levels=1)
    ... except InputError as error:
    ...     print(error)
    `levels` must be at least 2. Received: levels=1
    """


class WorkerLostError(RuntimeError):
    """Another worker of the cluster stopped answering.

    The command line prints it and exits with status 3.
    """


class Stopped(BaseException):
    """The process was asked to end, and has saved what it was doing.

    Like KeyboardInterrupt no `Exception`, so that nothing takes it for an
    error. The command line exits with status 143.

    Example:

    >>> issubclass(Stopped, Exception)
    False
    """
