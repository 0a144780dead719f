"""Whether a SavedModel does more than a classifier of images needs.

A SavedModel is a program: loading it runs its initialisers, and calling it runs
its graph, which may read and write files. This module reads the graph without
running it.
"""

import pathlib
from collections.abc import Iterator

from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from tf_transfer.errors import InputError
from tf_transfer.utils.storage import files

_MOST = 2**31  # bytes of a graph
_MOST_NAMES = 5

_ARITHMETIC = """
    Abs Acos Acosh Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Atan Atan2
    Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BitwiseAnd BitwiseOr
    BitwiseXor Bucketize Ceil CheckNumerics CheckNumericsV2 ClipByValue Cos Cosh
    CumulativeLogsumexp Cumprod Cumsum Div DivNoNan Einsum Elu Equal Erf Erfc
    Erfinv Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Igamma Imag
    Inv IsFinite IsInf IsNan L2Loss LeakyRelu LeftShift Less LessEqual Lgamma
    Log Log1p LogicalAnd LogicalNot LogicalOr LogSoftmax MatMul Max Maximum Mean
    Min Minimum Mod Mul MulNoNan Neg NotEqual Pow Prod Real RealDiv Reciprocal
    Relu Relu6 RightShift Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh Softmax
    Softplus Softsign Sqrt Square SquaredDifference StopGradient Sub Sum Tan
    Tanh TruncateDiv TruncateMod Xdivy Xlogy Zeta
"""
_NETWORKS = """
    AvgPool AvgPool3D Conv Conv2D Conv3D DepthwiseConv2dNative
    Conv2DBackpropInput Conv3DBackpropInputV2 Dilation2D FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 LRN MaxPool MaxPool3D MaxPoolV2
    MaxPoolWithArgmax FractionalMaxPool QuantizeAndDequantizeV2
    QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel TopK TopKV2 InTopK
    InTopKV2
"""
_ARRAYS = """
    BatchToSpace BatchToSpaceND Bitcast BroadcastArgs BroadcastTo Cast Concat
    ConcatV2 Const DepthToSpace Diag DiagPart DynamicPartition DynamicStitch
    EnsureShape ExpandDims ExtractImagePatches Fill Gather GatherNd GatherV2
    Identity IdentityN InvertPermutation LinSpace MatrixBandPart MatrixDiag
    MatrixDiagV2 MatrixDiagV3 MatrixInverse MatrixSetDiagV3 MirrorPad OneHot
    OnesLike Pack Pad PadV2 ParallelDynamicStitch Placeholder
    PlaceholderWithDefault Qr RaggedRange RaggedTensorFromVariant
    RaggedTensorToSparse RaggedTensorToTensor RaggedTensorToVariant Range Rank
    Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd Select SelectV2
    SegmentMax SegmentMean SegmentSum Shape ShapeN Size Slice Snapshot
    SpaceToBatch SpaceToBatchND SpaceToDepth SparseToDense Split SplitV Squeeze
    StridedSlice Svd TensorScatterAdd TensorScatterMax TensorScatterMin
    TensorScatterSub TensorScatterUpdate Tile Transpose Unique UniqueV2 Unpack
    UnravelIndex UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum Where ZerosLike
"""
_IMAGES = """
    AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize DecodeBmp
    DecodeImage DecodeJpeg DecodePng DecodeRaw ExtractJpegShape HSVToRGB
    ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppressionV3
    RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
    ScaleAndTranslate
"""
_STRINGS = """
    AsString StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin
    StringLength StringLower StringStrip StringToHashBucketFast
    StringToHashBucketStrong StringToNumber StringUpper Substr
"""
_CONTROL = """
    Assert Case Enter Exit If LoopCond Merge NextIteration NoOp PartitionedCall
    PreventGradient ReadVariableOp ResourceGather ResourceGatherNd
    StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch
    VarHandleOp VarIsInitializedOp While EmptyTensorList TensorListConcatV2
    TensorListElementShape TensorListFromTensor TensorListGather
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
    TensorListReserve TensorListResize TensorListSetItem TensorListSplit
    TensorListStack TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3
    TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArrayCloseV3
"""
_DATASETS = """
    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement IgnoreErrorsDataset
    MapDataset ParallelMapDatasetV2 RangeDataset TensorDataset
    TensorSliceDataset
"""
_TABLES = """
    HashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2
"""
_RANDOM = """
    RandomStandardNormal RandomUniform RandomUniformInt StatelessRandomNormalV2
    StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessRandomGetAlg
    StatelessRandomGetKeyCounter TruncatedNormal
"""
_KNOWN = frozenset(
    (_ARITHMETIC + _NETWORKS + _ARRAYS + _IMAGES + _STRINGS + _CONTROL).split()
    + (_DATASETS + _TABLES + _RANDOM).split()
)


def check(folder: pathlib.Path) -> None:
    """Checks that what loading and calling a SavedModel runs is harmless.

    Args:
        folder: of the SavedModel.

    Raises:
        InputError: if it holds operations that a classifier of images does not
            need, such as those that write files.
        OSError: if it cannot be read.
    """
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(files.read_regular(path, _MOST))
    except message.DecodeError as error:
        raise InputError(
            f"The SavedModel cannot be read. Received: {path}"
        ) from error
    unknown = sorted(set(_operations(model)) - _KNOWN)
    if unknown:
        names = ", ".join(unknown[:_MOST_NAMES])
        raise InputError(
            "A SavedModel is a program, and this one holds operations that a "
            "classifier of images does not need. If you trust whoever made "
            f"it, give --trust. Received: {names} in {folder}"
        )


def _operations(model: saved_model_pb2.SavedModel) -> Iterator[str]:
    """Yields the operations of all graphs that loading or calling may run.

    The functions that save a model again, and restore one, are never called.
    """
    for meta_graph in model.meta_graphs:
        graph = meta_graph.graph_def
        library = {f.signature.name: f for f in graph.library.function}
        # Without objects, it is of TensorFlow 1 and runs its whole graph.
        waiting = list(meta_graph.object_graph_def.concrete_functions)
        if not meta_graph.object_graph_def.nodes:
            yield from _run_by(graph.node, library, waiting)
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in library and name not in seen:
                seen.add(name)
                yield from _run_by(library[name].node_def, library, waiting)


def _run_by(nodes, library: dict, waiting: list[str]) -> Iterator[str]:
    """Yields the operations of nodes; appends the functions that they call."""
    for node in nodes:
        if node.op in library:
            waiting.append(node.op)
        else:
            yield node.op
        for attribute in node.attr.values():
            called = [attribute.func, *attribute.list.func]
            waiting += [function.name for function in called if function.name]
