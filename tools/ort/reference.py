#!/usr/bin/env python3
"""Reference inputs and outputs from ONNX Runtime, for tests/onnxruntime.rs.

    python reference.py --out DIR [--data DIR] [--models DIR] [--samples N]

Writes, for every network NAME, `NAME.onnx` (or a line in cases.txt that says where it lies) and
`NAME.in.f32`, `NAME.out.f32`: little-endian float32 behind no header. cases.txt has one line per
network: name, path of the ONNX file, shape of the input, shape of the output, separated by tabs,
extents by commas.

    python reference.py --check DIR

runs `NAME.written.onnx` for every network in DIR/cases.txt and compares with `NAME.out.f32`.

The networks are small ones that cover the operators and, if --data names a folder with
tools/make_onnx.py and data/, those that script builds (or finds built, with --models).
"""
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(20240607)


def weights(*shape):
    return (RNG.standard_normal(shape) * 0.3).astype(np.float32)


class Net:
    """One chain of nodes per small network; `x` is the name of the newest value."""

    def __init__(self, name, shape, opset=17):
        self.name, self.shape, self.opset = name, shape, opset
        self.nodes, self.initializers = [], []
        self.x = "input"

    def const(self, array):
        name = f"const{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Appends a node; arrays among the inputs become initializers. No inputs: the newest."""
        inputs = inputs or (self.x,)
        names = [i if isinstance(i, str) else self.const(i) for i in inputs]
        out = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [out], name=out, **attributes))
        self.x = out
        return out

    def model(self):
        info = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *self.shape]),
                helper.make_tensor_value_info(self.x, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, self.name, info[:1], info[1:], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                 ir_version=8)


def small_networks():
    nets = []

    def net(name, shape, opset=17):
        nets.append(Net(name, shape, opset))
        return nets[-1]

    # Convolutions
    for name, shape, kernel, attributes in [
        ("plain", (3, 9, 8), (4, 3, 3, 3), {}),
        ("asymmetric_pads", (3, 9, 8), (4, 3, 3, 2), {"pads": [2, 0, 1, 1]}),
        ("dilation", (2, 12, 11), (3, 2, 3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
        ("groups", (6, 7, 7), (4, 3, 3, 3), {"group": 2, "strides": [2, 1]}),
        ("depthwise", (5, 9, 9), (5, 1, 3, 3), {"group": 5, "strides": [2, 2], "pads": [1] * 4}),
        ("depthwise_dilated", (5, 9, 9), (5, 1, 3, 3),
         {"group": 5, "dilations": [4, 4], "pads": [4] * 4}),
        ("depthwise_double", (4, 8, 8), (8, 1, 3, 3), {"group": 4}),
        ("pointwise", (5, 6, 7), (8, 5, 1, 1), {}),
        ("pointwise_stride", (5, 7, 7), (8, 5, 1, 1), {"strides": [2, 3]}),
        ("same_upper", (3, 10, 9), (4, 3, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("same_lower", (3, 10, 9), (4, 3, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
        ("valid", (3, 10, 9), (4, 3, 3, 4), {"auto_pad": "VALID"}),
        ("far_pads", (1, 3, 3), (2, 1, 2, 2), {"pads": [4, 5, 3, 6], "strides": [3, 3]}),
    ]:
        for opset in (11, 21):
            n = net(f"conv_{name}_{opset}", shape, opset)
            n.op("Conv", n.x, weights(*kernel), weights(kernel[0]), **attributes)

    # Pools
    for kind in ("MaxPool", "AveragePool"):
        for name, attributes in [
            ("plain", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("overlap", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
            ("ceil", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
            ("ceil_pads", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1],
                           "ceil_mode": 1}),
            ("ceil_far", {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [0, 0, 1, 1],
                          "ceil_mode": 1}),
            ("same", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ]:
            for size in (7, 8, 9, 10):
                n = net(f"{kind}_{name}_{size}", (2, size, size + 1), 19 if size % 2 else 12)
                n.op(kind, **attributes)
    n = net("AveragePool_count_pad", (2, 7, 8))
    n.op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    net("global_average", (3, 5, 6)).op("GlobalAveragePool")
    net("global_max", (3, 5, 6)).op("GlobalMaxPool")
    net("mean_attribute", (3, 5, 6), 13).op("ReduceMean", axes=[2, 3], keepdims=0)
    n = net("mean_input", (3, 5, 6), 18)
    n.op("ReduceMean", n.x, np.array([-1, -2]), keepdims=1)

    # Fully connected layers
    n = net("gemm", (6,), 13)
    n.op("Gemm", n.x, weights(6, 4), weights(1, 4), alpha=0.5, beta=2.0)
    n = net("gemm_transposed", (6,), 11)
    n.op("Gemm", n.x, weights(4, 6), weights(4), transB=1)
    n = net("gemm_scalar_bias", (6,))
    n.op("Gemm", n.x, weights(4, 6), np.float32(0.25), transB=1)
    n = net("matmul_bias", (6,))
    n.op("MatMul", n.x, weights(6, 4))
    n.op("Add", weights(4), n.x)
    n = net("matmul_transposed_weight", (6,))
    n.op("MatMul", "input", n.op("Transpose", weights(4, 6), perm=[1, 0]))

    # Folding
    def batch_norm(n, channels):
        n.op("BatchNormalization", n.x, weights(channels) + 1, weights(channels), weights(channels),
             np.abs(weights(channels)) + 0.1, epsilon=1e-3)

    n = net("fold_conv", (3, 6, 6))
    n.op("Conv", n.x, weights(4, 3, 3, 3))
    batch_norm(n, 4)
    batch_norm(n, 4)
    n.op("Mul", n.x, weights(1, 4, 1, 1))
    n.op("Div", n.x, np.float32(3))
    n.op("Sub", weights(4, 1, 1), n.x)
    n = net("fold_gemm", (6,))
    n.op("Gemm", n.x, weights(6, 4))
    batch_norm(n, 4)
    n = net("fold_two_readers", (3, 6, 6))
    conv = n.op("Conv", n.x, weights(3, 3, 1, 1))
    batch_norm(n, 3)
    n.op("Add", n.x, conv)
    batch_norm(n, 3)
    n = net("fold_forward", (3, 6, 6))
    batch_norm(n, 3)
    n.op("Conv", n.x, weights(4, 3, 3, 3), weights(4))
    n = net("fold_forward_groups", (4, 6, 6))
    batch_norm(n, 4)
    n.op("Conv", n.x, weights(6, 2, 3, 3), weights(6), group=2)
    n = net("fold_forward_padded", (3, 6, 6))
    batch_norm(n, 3)
    n.op("Conv", n.x, weights(4, 3, 3, 3), pads=[1] * 4)
    n = net("affine_elements", (3, 2, 4))
    n.op("Mul", n.x, weights(1, 1, 2, 1))
    n.op("Add", weights(4), n.x)
    n.op("Mul", n.x, weights(3, 1, 1))
    n.op("Sub", n.x, np.float32(0.5))
    n = net("negate", (3,))
    n.op("Neg")
    n.op("Relu")

    # Activations
    for kind, opset, attributes in [
        ("Relu", 14, {}), ("LeakyRelu", 16, {"alpha": 0.1}), ("Sigmoid", 13, {}), ("Tanh", 13, {}),
        ("HardSwish", 14, {}), ("Mish", 18, {}), ("Gelu", 20, {}),
        ("Gelu", 20, {"approximate": "tanh"}), ("HardSigmoid", 11, {"alpha": 0.3}),
    ]:
        suffix = "".join(f"_{v}" for v in attributes.values())
        net(f"act_{kind}{suffix}", (4, 16, 16), opset).op(kind, **attributes)
    for name, bounds in [("both", (-1, 2)), ("min", (-0.5, "")), ("max", ("", 0.5)), ("relu6", (0, 6))]:
        n = net(f"clip_{name}", (4, 16, 16))
        n.op("Clip", n.x, *["" if b == "" else np.float32(b) for b in bounds])
    n = net("clip_max_min", (4, 16, 16))
    n.op("Max", n.x, np.float32(-0.25))
    n.op("Min", np.float32(0.75), n.x)

    # Activations spelled out, each after a layer so that folding could do harm
    def spelled(name, build):
        n = net(f"spelled_{name}", (6,), 18)
        n.op("Gemm", n.x, weights(6, 12) * 5)
        build(n, n.x)
        n.op("Gemm", n.x, weights(12, 3))

    def gelu_tail(n, x):
        n.op("Add", n.op("Erf", n.op("Div", x, np.float32(2**0.5))), np.float32(1))
        n.op("Mul", n.op("Mul", x, n.x), np.float32(0.5))

    def gelu_head(n, x):
        half = n.op("Mul", x, np.float32(0.5))
        n.op("Mul", half, n.op("Add", np.float32(1), n.op("Erf", n.op("Mul", x, np.float32(2**-0.5)))))

    def gelu_tanh(n, x):
        cube = n.op("Mul", n.op("Pow", x, np.float32(3)), np.float32(0.044715))
        inner = n.op("Mul", n.op("Add", x, cube), np.float32((2 / np.pi) ** 0.5))
        n.op("Mul", n.op("Mul", x, np.float32(0.5)), n.op("Add", n.op("Tanh", inner), np.float32(1)))

    def hard_swish_clip(n, x):
        clip = n.op("Clip", n.op("Add", x, np.float32(3)), np.float32(0), np.float32(6))
        n.op("Div", n.op("Mul", x, clip), np.float32(6))

    spelled("gelu_tail", gelu_tail)
    spelled("gelu_head", gelu_head)
    spelled("gelu_tanh", gelu_tanh)
    spelled("hard_swish", lambda n, x: n.op("Mul", x, n.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)))
    spelled("hard_swish_clip", hard_swish_clip)
    spelled("silu", lambda n, x: n.op("Mul", x, n.op("Sigmoid", x)))
    spelled("mish", lambda n, x: n.op("Mul", x, n.op("Tanh", n.op("Softplus", x))))
    spelled("square", lambda n, x: n.op("Mul", x, x))
    spelled("square_power", lambda n, x: n.op("Pow", x, np.float32(2)))
    spelled("sigmoid", lambda n, x: n.op("Div", np.float32(1), n.op(
        "Add", np.float32(1), n.op("Exp", n.op("Neg", x)))))
    spelled("exp", lambda n, x: n.op("Exp", x))
    spelled("softplus", lambda n, x: n.op("Softplus", x))
    spelled("softplus_log", lambda n, x: n.op("Log", n.op("Add", np.float32(1), n.op("Exp", x))))

    # Layout
    n = net("concat", (3, 4, 5))
    n.op("Concat", n.x, n.op("Relu"), n.x, axis=-2)
    n = net("pad", (3, 4, 5), 13)
    n.op("Pad", n.x, np.array([0, 1, 2, 0, 0, 2, 0, 3]), np.float32(1.5))
    n = net("pad_axes", (3, 4, 5), 18)
    n.op("Pad", n.x, np.array([1, 2, 0, 3]), "", np.array([-1, 2]))
    n = net("slice", (6, 9, 10))
    n.op("Slice", n.x, np.array([1, -8, 0]), np.array([2**63 - 1, -1, 9]), np.array([1, 2, -1]),
         np.array([2, 1, 4]))
    n = net("reshape", (6, 4, 5))
    n.op("Reshape", n.x, np.array([0, 3, -1, 10]))
    n.op("Reshape", n.x, np.array([-1, 120]))
    n = net("reshape_shape", (6, 4, 5))
    batch = n.op("Gather", n.op("Shape", "input"), np.array(0), axis=0)
    shape = n.op("Concat", n.op("Unsqueeze", batch, np.array([0])), np.array([-1]), axis=0)
    n.op("Reshape", "input", shape)
    n = net("flatten_negative", (6, 4, 5))
    n.op("Flatten", axis=-3)
    n = net("squeeze", (6, 1, 5))
    n.op("Squeeze", n.x, np.array([2]))
    n.op("Unsqueeze", n.x, np.array([-1, 1]))
    n = net("transpose", (3, 4, 5))
    n.op("Transpose", perm=[0, 2, 3, 1])
    n.op("Relu")
    n = net("sub", (3, 4, 5))
    n.op("Sub", "input", n.op("Relu"))
    n = net("dropout", (3, 4, 5))
    n.op("Dropout", n.x, np.float32(0.5))
    n.op("Identity")
    n.op("Cast", to=TensorProto.FLOAT)
    n.op("Relu")

    # Resampling
    for mode in ("nearest", "linear"):
        for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            for scales in ((2.0, 2.0), (0.6, 0.7), (1.7, 2.6), (3.0, 0.15)):
                n = net(f"resize_{mode}_{coordinates}_{scales[0]}", (2, 5, 7), 11 if scales[0] == 2 else 18)
                nearest = {"nearest_mode": "floor"} if coordinates == "asymmetric" else {}
                n.op("Resize", n.x, "" if n.opset > 12 else np.zeros(0, np.float32),
                     np.array([1, 1, *scales], np.float32), mode=mode,
                     coordinate_transformation_mode=coordinates, **nearest)
    for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        n = net(f"resize_{nearest}", (2, 6, 7), 13)
        n.op("Resize", n.x, "", np.array([1, 1, 2.5, 1.5], np.float32), nearest_mode=nearest)
    n = net("resize_sizes", (2, 6, 7), 18)
    n.op("Resize", n.x, "", "", np.array([11, 10]), mode="linear", axes=[2, 3])
    n = net("resize_like", (2, 6, 7), 13)
    shape = n.op("Shape", "input")
    head = n.op("Slice", shape, np.array([0]), np.array([2]))
    sizes = n.op("Concat", head, np.array([9, 13]), axis=0)
    n.op("Resize", "input", "", "", sizes, mode="linear")
    return nets


def large_networks(root, models, out, samples):
    """(name, path, input) of the networks of make_onnx.py, with images where that is simple."""
    if models is None:
        models = out / "models"
        subprocess.run([sys.executable, str(root / "tools/make_onnx.py"), "--data", str(root / "data"),
                        "--out", str(models)], check=True, stdout=subprocess.DEVNULL)
    for path in sorted(models.glob("*.onnx")):
        (value,) = onnx.load(path).graph.input
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
        count = samples if shape[-1] < 64 else 1
        data = RNG.standard_normal((count, *shape)).astype(np.float32)
        if path.stem.startswith("mnist"):
            data[0] = mnist_digit(root / "data/mnist", shape)
        yield path.stem, path, data


def mnist_digit(folder, shape):
    """The first test image, normalised; random numbers if the file is not there."""
    import gzip
    files = sorted(folder.glob("t10k-images*.gz"))
    if not files:
        return RNG.standard_normal(shape)
    pixels = np.frombuffer(gzip.open(files[0]).read(16 + 784), np.uint8, offset=16)
    return ((pixels / 255 - 0.1307) / 0.3081).reshape(shape)


def run(path, data):
    options = onnxruntime.SessionOptions()
    # Rewriting by the runtime would only hide differences.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": data})
    return output


def check(folder):
    """One line per network whose written file gives other values."""
    failures = []
    for line in (folder / "cases.txt").read_text().splitlines():
        name, _, *shapes = line.split("\t")
        data, expected = (
            np.fromfile(folder / f"{name}.{suffix}.f32", "<f4").reshape([int(e) for e in shape.split(",")])
            for suffix, shape in zip(("in", "out"), shapes))
        try:
            output = run(folder / f"{name}.written.onnx", data)
        except Exception as error:  # the runtime has many kinds of them
            failures.append(f"{name}: {error}")
            continue
        difference = np.abs(output - expected).max() if output.shape == expected.shape else np.inf
        if not difference <= 1e-4 * max(1, np.abs(expected).max()):
            failures.append(f"{name}: difference {difference}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path)
    what.add_argument("--check", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--samples", type=int, default=4)
    args = parser.parse_args()
    if args.check:
        sys.exit("\n".join(check(args.check)) or 0)
    args.out.mkdir(parents=True, exist_ok=True)
    cases = []
    for net in small_networks():
        path = args.out / f"{net.name}.onnx"
        onnx.save(net.model(), path)
        data = (RNG.standard_normal((3, *net.shape)) * 2).astype(np.float32)
        cases.append((net.name, path, data))
    if args.data or args.models:
        cases += large_networks(args.data, args.models, args.out, args.samples)
    with open(args.out / "cases.txt", "w") as table:
        for name, path, data in cases:
            output = run(path, data)
            data.astype("<f4").tofile(args.out / f"{name}.in.f32")
            output.astype("<f4").tofile(args.out / f"{name}.out.f32")
            shapes = [",".join(map(str, a.shape)) for a in (data, output)]
            print(name, path, *shapes, sep="\t", file=table)


if __name__ == "__main__":
    main()
