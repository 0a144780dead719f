"""Runs a SavedModel through TensorFlow's C API, as a server does.

python tests/clients/c_api.py VERSION IMAGES.npy INPUT OUTPUT

It imports no Python of TensorFlow, only the shared library of the installed
wheel. INPUT and OUTPUT are the names of tensors, as `saved_model_cli show`
prints them. It prints the output, a float matrix, as JSON.
"""

import ctypes
import importlib.util
import json
import pathlib
import sys

import numpy as np

_FLOAT = 1


class Output(ctypes.Structure):
    """TF_Output: an operation and the number of its output."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def load_library() -> ctypes.CDLL:
    """Loads the library of the wheel, and declares its return types."""
    spec = importlib.util.find_spec("tensorflow")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    mode = ctypes.RTLD_GLOBAL
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), mode)
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), mode)
    for name in (
        "NewStatus",
        "NewGraph",
        "NewSessionOptions",
        "LoadSessionFromSavedModel",
        "GraphOperationByName",
        "AllocateTensor",
        "TensorData",
    ):
        getattr(library, f"TF_{name}").restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_Dim.restype = ctypes.c_int64
    return library


class SavedModel:
    """A session on a SavedModel's serving graph."""

    def __init__(self, folder: str):
        self.library = library = load_library()
        self.status = ctypes.c_void_p(library.TF_NewStatus())
        self.graph = ctypes.c_void_p(library.TF_NewGraph())
        options = ctypes.c_void_p(library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.meta = Buffer()
        self.session = ctypes.c_void_p(
            library.TF_LoadSessionFromSavedModel(
                options,
                None,
                folder.encode(),
                tags,
                1,
                self.graph,
                ctypes.byref(self.meta),
                self.status,
            )
        )
        self.check()

    def check(self) -> None:
        """Raises the error of the last call, if there is one."""
        if self.library.TF_GetCode(self.status):
            raise RuntimeError(self.library.TF_Message(self.status).decode())

    def output(self, name: str) -> Output:
        """Returns an output of an operation by its name, such as `call:2`."""
        operation, index = name.split(":")
        pointer = self.library.TF_GraphOperationByName(
            self.graph, operation.encode()
        )
        if not pointer:
            raise RuntimeError(f"no operation {operation}")
        return Output(pointer, int(index))

    def run(self, feed: str, images: np.ndarray, fetch: str) -> np.ndarray:
        """Returns a float output `[B, C]` for float32 images."""
        library = self.library
        dims = (ctypes.c_int64 * images.ndim)(*images.shape)
        size = ctypes.c_size_t(images.nbytes)
        tensor = library.TF_AllocateTensor(_FLOAT, dims, images.ndim, size)
        inputs, outputs = ctypes.c_void_p(tensor), ctypes.c_void_p()
        pixels = ctypes.c_void_p(library.TF_TensorData(inputs))
        ctypes.memmove(pixels, images.ctypes.data, images.nbytes)
        library.TF_SessionRun(
            self.session,
            None,
            ctypes.byref(self.output(feed)),
            ctypes.byref(inputs),
            1,
            ctypes.byref(self.output(fetch)),
            ctypes.byref(outputs),
            1,
            None,
            0,
            None,
            self.status,
        )
        self.check()
        shape = [library.TF_Dim(outputs, i) for i in range(2)]
        content = ctypes.c_void_p(library.TF_TensorData(outputs))
        numbers = ctypes.cast(content, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(numbers, shape).copy()


def main() -> None:
    """Prints the probabilities of a file of images."""
    model = SavedModel(sys.argv[1])
    images = np.ascontiguousarray(np.load(sys.argv[2]), np.float32)
    print(json.dumps(model.run(sys.argv[3], images, sys.argv[4]).tolist()))


if __name__ == "__main__":
    main()
