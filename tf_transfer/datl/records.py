"""Records of many sizes, and sparse ones, as strings that batch as they are."""

import tensorflow as tf


def vary(element_spec, batched: bool) -> bool:
    """Says whether records may differ in size, or are sparse."""
    parts = tf.nest.flatten(element_spec)
    return any(_varies(spec, int(batched)) for spec in parts)


def encode(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Makes strings of the parts of single examples whose size may vary."""
    specs = dataset.element_spec
    return dataset.map(lambda *element: _map_parts(_encoded, specs, element))


def decode(dataset: tf.data.Dataset, specs) -> tf.data.Dataset:
    """Undoes `encode`; `specs` are those of the dataset before it."""
    return dataset.map(lambda *element: _map_parts(_decoded, specs, element))


def batch(
    dataset: tf.data.Dataset, size: int, drop_remainder: bool
) -> tf.data.Dataset:
    """Batches single examples; dense parts are padded with zeros."""
    dense = all(
        isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
        for spec in tf.nest.flatten(dataset.element_spec)
    )
    stage = dataset.padded_batch if dense else dataset.batch
    return stage(size, drop_remainder=drop_remainder)


def _varies(spec: tf.TypeSpec, start: int = 0) -> bool:
    """Says whether sizes from axis `start` may vary, or a part is sparse."""
    if isinstance(spec, tf.SparseTensorSpec):
        return True
    if not isinstance(spec, tf.TensorSpec):
        return False
    return spec.shape.rank is None or not spec.shape[start:].is_fully_defined()


def _map_parts(function, specs, element):
    parts = tf.nest.flatten(element)
    flat = zip(tf.nest.flatten(specs), parts, strict=True)
    return tf.nest.pack_sequence_as(specs, [function(*pair) for pair in flat])


def _encoded(spec: tf.TypeSpec, part):
    if not _varies(spec):
        return part
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.io.serialize_sparse(part)
    return tf.io.serialize_tensor(part)


def _decoded(spec: tf.TypeSpec, part):
    if not _varies(spec):
        return part
    if isinstance(spec, tf.SparseTensorSpec):
        one = tf.io.deserialize_many_sparse(
            part[None], spec.dtype, spec.shape.rank + 1
        )
        return tf.sparse.reshape(one, one.dense_shape[1:])
    return tf.ensure_shape(tf.io.parse_tensor(part, spec.dtype), spec.shape)
