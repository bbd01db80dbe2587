"""Networks as ONNX models: written from torch, quantized to 8-bit integers a channel, run on one thread."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ranking.representation.encoder import Arrays, Run

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime.quantization import CalibrationDataReader
    from torch.nn import Module

OPSET: Final = 17
OUTPUT: Final = "vectors"


def export(network: "Module", arrays: Arrays, path: Path, *, free: Mapping[str, tuple[int, ...]]) -> None:
    """Write a network as an ONNX model; inputs keep the shape that they have in `arrays` but for their free axes."""
    import torch  # heavy: commands that encode nothing must start fast

    axes = {name: {axis: f"axis_{axis}" for axis in one} for name, one in free.items()}
    if free:
        axes[OUTPUT] = {0: "axis_0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an exporter that is going and of shapes that are traced as constants
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(one) for one in arrays.values()),
            str(path),
            input_names=list(arrays),
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def quantize(source: Path, target: Path, calibration: Sequence[Arrays], *, exact: tuple[str, ...] = ()) -> None:
    """Write the model `source` with 8-bit weights, each channel with a scale of its own, and 8-bit activations.

    calibration: examples that the ranges of activations are taken from, which then are fixed; none: ranges are taken
    anew at every call, and only matrix products are quantized. exact: how the names of nodes begin that stay as they
    are. One scale for a whole tensor is no choice: mean cosine
    .79 of pictures and .96 of texts, against .99 of both.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    simple = target.with_suffix(".simple.onnx")
    quant_pre_process(str(source), str(simple), skip_symbolic_shape=True)
    model = onnx.load(simple)
    _fold_padding(model)
    onnx.save(model, simple)
    kept = [node.name for node in model.graph.node if exact and node.name.startswith(exact)]
    if calibration:
        quantize_static(
            str(simple),
            str(target),
            _examples(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=kept,
        )
    else:
        quantize_dynamic(
            str(simple),
            str(target),
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=kept,
        )
    simple.unlink()


def session(path: Path) -> Run:
    """Runs a model on the calling thread; several threads may call it at once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda arrays: model.run([OUTPUT], dict(arrays))[0]


def _examples(calibration: Sequence[Arrays]) -> "CalibrationDataReader":
    from onnxruntime.quantization import CalibrationDataReader

    class Examples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime publishes no types
        """Each example once."""

        def __init__(self) -> None:
            self.rest: Iterator[Arrays] = iter(calibration)

        def get_next(self) -> dict[str, object] | None:
            """The next example, None after the last."""
            one = next(self.rest, None)
            return None if one is None else dict(one)

    return Examples()


def _fold_padding(model: "ModelProto") -> None:
    """Let convolutions pad what a node of its own padded with zeros before them.

    Such a node stands between two quantized ones and makes them go through floats: a sixth of the time of pictures.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad" and node.input[1] in constants}
    for conv in [node for node in graph.node if node.op_type == "Conv" and uses[node.input[0]] == 1]:
        pad = pads.get(conv.input[0])
        if pad is None or any(constants[name].any() for name in pad.input[2:3] if name):
            continue  # nothing is padded, or not with zeros
        amounts = constants[pad.input[1]].tolist()  # before each axis, then after each axis; two axes are no places
        places = len(amounts) // 2
        own = next(one for one in conv.attribute if one.name == "pads")
        added = amounts[2:places] + amounts[places + 2 :]
        own.ints[:] = [before + more for before, more in zip(own.ints, added, strict=True)]
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    used = {name for node in graph.node for name in node.input}
    for unused in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(unused)
