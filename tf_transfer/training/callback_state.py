"""The state of Keras callbacks, as bytes for a checkpoint."""

import io
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_transfer.errors import InputError

# Every callback has these; `fit` sets them.
_OF_FIT = frozenset(vars(keras.callbacks.Callback()))


def encode(callbacks: Sequence[keras.callbacks.Callback]) -> bytes:
    """Returns the attributes of callbacks that are data.

    These are numbers, strings, None, arrays, and lists of arrays; and lists
    and dicts of numbers and strings. Models and functions are left out, but
    for those of `keras.ops`.

    Example:

    >>> stopping = keras.callbacks.EarlyStopping(patience=3)
    >>> stopping.wait = 2
    >>> state = encode([stopping])
    >>> stopping.wait = 0
    >>> decode(state, [stopping])
    >>> stopping.wait
    2
    """
    arrays, plain = {}, []
    for index, callback in enumerate(callbacks):
        values = {}
        for name, value in vars(callback).items():
            if name in _OF_FIT:
                continue
            items = value if isinstance(value, list) else [value]
            if items and all(
                isinstance(v, np.ndarray | np.generic) for v in items
            ):
                count = len(items) if isinstance(value, list) else None
                values[name] = {"arrays": count}
                for place, item in enumerate(items):
                    arrays[f"{index}/{name}/{place}"] = np.asarray(item)
            elif _is_plain(value):
                values[name] = {"plain": value}
            elif _is_operation(value):  # `monitor_op`, as `less`
                values[name] = {"operation": value.__name__}
        plain.append(values)
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(plain)), **arrays)
    return buffer.getvalue()


def decode(state: bytes, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Sets the attributes of callbacks to what `encode` has returned.

    Raises:
        InputError: if there are more callbacks now, or fewer.
    """
    with np.load(io.BytesIO(state), allow_pickle=False) as arrays:
        plain = json.loads(str(arrays["state"]))
        if len(plain) != len(callbacks):
            raise InputError(
                f"`also` must have the {len(plain)} callbacks of the "
                f"checkpoint. Received: {len(callbacks)}"
            )
        for index, (callback, values) in enumerate(
            zip(callbacks, plain, strict=True)
        ):
            for name, entry in values.items():
                if "plain" in entry:
                    value = entry["plain"]
                elif "operation" in entry:
                    value = getattr(keras.ops, entry["operation"])
                else:
                    key = f"{index}/{name}"
                    count = entry["arrays"]
                    value = [arrays[f"{key}/{i}"] for i in range(count or 1)]
                    value = value if count else value[0][()]
                setattr(callback, name, value)


def _is_plain(value: Any) -> bool:
    """Whether JSON gives the value back as it was."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return False
    back = json.loads(text)
    return type(back) is type(value) and json.dumps(back) == text


def _is_operation(value: Any) -> bool:
    name = getattr(value, "__name__", None)
    return isinstance(name, str) and getattr(keras.ops, name, None) is value
