"""The trained networks as ONNX (f32, int8 static, int8 dynamic) and as TFLite models (f32, int8).

Runs in the venv of requirements.txt. The int8 models are calibrated with rows that the benchmark does not run: what
onnxruntime.quantization makes of them per channel, and for TFLite minimum and maximum, as its converter does.
"""
import json
import pathlib
import sys

import flatbuffers
import numpy as np
import onnx
import onnxruntime.quantization as ortq
import tflite
from onnx import TensorProto, helper, numpy_helper


def read_matrices(path, sizes):
    numbers = np.fromfile(path, np.float32)
    layers, at = [], 0
    for inputs, outputs in zip(sizes, sizes[1:]):
        w = numbers[at:at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((w, numbers[at:at + outputs]))
        at += outputs
    return layers


def read_calibration(path):
    numbers = path.read_text().split()
    rows, inputs, outputs = map(int, numbers[:3])
    return np.array(numbers[3:], np.float32).reshape(rows, inputs + outputs)[:, :inputs]


def onnx_model(layers, path, isGemm):
    nodes, weights, value = [], [], "x"
    for l, (w, b) in enumerate(layers):
        last = l + 1 == len(layers)
        weights.append(numpy_helper.from_array(w.T.copy(), f"w{l}"))
        weights.append(numpy_helper.from_array(b.copy(), f"b{l}"))
        if isGemm:
            nodes.append(helper.make_node("Gemm", [value, f"w{l}", f"b{l}"], [f"t{l}"]))
        else:
            nodes.append(helper.make_node("MatMul", [value, f"w{l}"], [f"m{l}"]))
            nodes.append(helper.make_node("Add", [f"m{l}", f"b{l}"], [f"t{l}"]))
        value = "y" if last else f"h{l}"
        nodes.append(helper.make_node("Tanh", [f"t{l}"], [value]))
    graph = helper.make_graph(
        nodes, "mlp", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", layers[0][0].shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", layers[-1][0].shape[0]])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


class Rows(ortq.CalibrationDataReader):
    def __init__(self, x):
        self.batches = iter([{"x": part} for part in np.array_split(x, 8)])

    def get_next(self):
        return next(self.batches, None)


def onnx_models(layers, calibration, stem):
    gemm, matmul = f"{stem}.onnx", f"{stem}.matmul.onnx"
    onnx_model(layers, gemm, True)
    onnx_model(layers, matmul, False)
    ortq.quantize_static(gemm, f"{stem}.static.onnx", Rows(calibration), quant_format=ortq.QuantFormat.QOperator,
                         per_channel=True, activation_type=ortq.QuantType.QUInt8, weight_type=ortq.QuantType.QInt8)
    ortq.quantize_dynamic(matmul, f"{stem}.dynamic.onnx", per_channel=True, weight_type=ortq.QuantType.QInt8)
    pathlib.Path(matmul).unlink()


class Tflite:
    """A model of one sequence of operators; tensors and operators in the order in which they are added."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1 << 20)
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [self._buffer(None)]

    def _buffer(self, data):
        vector = None
        if data is not None:
            vector = self.builder.CreateNumpyVector(np.frombuffer(data.tobytes(), np.uint8))
        tflite.BufferStart(self.builder)
        if vector is not None:
            tflite.BufferAddData(self.builder, vector)
        return tflite.BufferEnd(self.builder)

    def _offsets(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def _ints(self, values):
        return self.builder.CreateNumpyVector(np.array(values, np.int32))

    def tensor(self, shape, kind, data=None, scale=None, zero=0, axis=0):
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(self._buffer(data))
        name = self.builder.CreateString(f"tensor{len(self.tensors)}")
        dimensions = self._ints(shape)
        quantization = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            s = self.builder.CreateNumpyVector(scales)
            z = self.builder.CreateNumpyVector(np.full(len(scales), zero, np.int64))
            tflite.QuantizationParametersStart(self.builder)
            tflite.QuantizationParametersAddScale(self.builder, s)
            tflite.QuantizationParametersAddZeroPoint(self.builder, z)
            tflite.QuantizationParametersAddQuantizedDimension(self.builder, axis)
            quantization = tflite.QuantizationParametersEnd(self.builder)
        tflite.TensorStart(self.builder)
        tflite.TensorAddShape(self.builder, dimensions)
        tflite.TensorAddType(self.builder, kind)
        tflite.TensorAddBuffer(self.builder, buffer)
        tflite.TensorAddName(self.builder, name)
        if quantization is not None:
            tflite.TensorAddQuantization(self.builder, quantization)
        self.tensors.append(tflite.TensorEnd(self.builder))
        return len(self.tensors) - 1

    def operator(self, code, inputs, output):
        if code not in self.codes:
            self.codes.append(code)
        options = None
        if code == tflite.BuiltinOperator.FULLY_CONNECTED:
            tflite.FullyConnectedOptionsStart(self.builder)
            options = tflite.FullyConnectedOptionsEnd(self.builder)
        ins, outs = self._ints(inputs), self._ints([output])
        tflite.OperatorStart(self.builder)
        tflite.OperatorAddOpcodeIndex(self.builder, self.codes.index(code))
        tflite.OperatorAddInputs(self.builder, ins)
        tflite.OperatorAddOutputs(self.builder, outs)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(self.builder, tflite.BuiltinOptions.FullyConnectedOptions)
            tflite.OperatorAddBuiltinOptions(self.builder, options)
        self.operators.append(tflite.OperatorEnd(self.builder))

    def finish(self, x, y):
        b = self.builder
        codes = []
        for code in self.codes:
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddBuiltinCode(b, code)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
            tflite.OperatorCodeAddVersion(b, {tflite.BuiltinOperator.FULLY_CONNECTED: 4}.get(code, 2))
            codes.append(tflite.OperatorCodeEnd(b))
        parts = [self._offsets(self.tensors), self._ints([x]), self._ints([y]), self._offsets(self.operators)]
        tflite.SubGraphStart(b)
        for add, part in zip((tflite.SubGraphAddTensors, tflite.SubGraphAddInputs, tflite.SubGraphAddOutputs,
                              tflite.SubGraphAddOperators), parts):
            add(b, part)
        graph = tflite.SubGraphEnd(b)
        parts = [self._offsets(codes), self._offsets([graph]), self._offsets(self.buffers)]
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        for add, part in zip((tflite.ModelAddOperatorCodes, tflite.ModelAddSubgraphs, tflite.ModelAddBuffers), parts):
            add(b, part)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())


def tflite_float(layers, rows):
    model = Tflite()
    kind, op = tflite.TensorType.FLOAT32, tflite.BuiltinOperator
    x = value = model.tensor([rows, layers[0][0].shape[1]], kind)
    for w, b in layers:
        t = model.tensor([rows, len(b)], kind)
        model.operator(op.FULLY_CONNECTED, [value, model.tensor(w.shape, kind, w), model.tensor(b.shape, kind, b)], t)
        value = model.tensor([rows, len(b)], kind)
        model.operator(op.TANH, [t], value)
    return model.finish(x, value)


def affine(values):
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    scale = (high - low) / 255
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def tflite_int8(layers, calibration, rows):
    model = Tflite()
    types, op = tflite.TensorType, tflite.BuiltinOperator
    x = model.tensor([rows, calibration.shape[1]], types.FLOAT32)
    scale, zero = affine(calibration)
    value = model.tensor([rows, calibration.shape[1]], types.INT8, None, scale, zero)
    model.operator(op.QUANTIZE, [x], value)
    h = calibration.astype(float)
    for w, b in layers:
        s = np.maximum(np.abs(w).max(1), 1e-9) / 127
        q = np.clip(np.rint(w / s[:, None]), -127, 127).astype(np.int8)
        bias = np.rint(b / (s * scale)).astype(np.int32)
        t = h @ w.T.astype(float) + b
        weights = model.tensor(w.shape, types.INT8, q, s)
        biases = model.tensor(b.shape, types.INT32, bias, s * scale)
        sums = model.tensor([rows, len(b)], types.INT8, None, *affine(t))
        model.operator(op.FULLY_CONNECTED, [value, weights, biases], sums)
        scale, h = 1 / 128, np.tanh(t)
        value = model.tensor([rows, len(b)], types.INT8, None, scale, 0)
        model.operator(op.TANH, [sums], value)
    y = model.tensor([rows, len(layers[-1][1])], types.FLOAT32)
    model.operator(op.DEQUANTIZE, [value], y)
    return model.finish(x, y)


def make(networks: pathlib.Path, folder: pathlib.Path):
    stamp = folder / "recipe"
    recipe = (networks / "recipe").read_text() + pathlib.Path(__file__).read_text()
    if stamp.exists() and stamp.read_text() == recipe:
        return
    print("writing ONNX and TFLite models", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    facts = json.loads((networks / "networks.json").read_text())
    nets = {name: (net["sizes"], (1, 8, 64)) for name, net in facts["networks"].items()}
    if mixture := facts.get("mixture"):
        nets["router"] = (mixture["router"], (1,))
        nets |= {f"expert{i:02}": (mixture["sizes"], (1,)) for i in range(mixture["experts"])}
    for name, (sizes, batches) in nets.items():
        layers = read_matrices(networks / f"{name}.f32", sizes)
        calibration = read_calibration(networks / f"{name}.calibration.data")
        onnx_models(layers, calibration, str(folder / name))
        for rows in batches:
            (folder / f"{name}.{rows}.tflite").write_bytes(tflite_float(layers, rows))
            (folder / f"{name}.{rows}.int8.tflite").write_bytes(tflite_int8(layers, calibration, rows))
    stamp.write_text(recipe)


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
