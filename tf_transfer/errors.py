"""The one exception that means: what was given cannot be used."""


class InputError(ValueError):
    """Raised for an argument, file or data set that cannot be used.

    The message is one sentence that ends with what was received. The command
    line prints it and exits with status 2; every other exception is a defect
    of this package.
    """
