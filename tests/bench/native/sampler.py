"""A native runtime called from Python, as a process that is asked for one sample after the other.

    sampler.py (kimic PACK | ort MODEL_SUFFIX) WORK_FOLDER

`NETWORK ROWS CALLS` on stdin, nanoseconds per call on stdout, until stdin ends. The outputs of new NETWORK or ROWS go to
WORK_FOLDER/outputs. A call takes a NumPy array and returns one, both bound beforehand; onnxruntime has one thread.
"""
import json
import pathlib
import sys
import time

import numpy as np


def kimic_runner(pack, network, x):
    expert = list(networks).index(network)
    return pack.bind(x, expert)


def ort_runner(suffix, network, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(work / "models" / (network + suffix)), options, ["CPUExecutionProvider"])
    y = np.empty((len(x), networks[network]["sizes"][-1]), np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)

    def run():
        session.run_with_iobinding(binding)
        return y
    return run


tool, argument, work = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
networks = json.loads((work / "networks/networks.json").read_text())["networks"]
if tool == "kimic":
    import kimic
    pack = kimic.open(argument)
    make = lambda network, x: kimic_runner(pack, network, x)  # noqa: E731
else:
    import onnxruntime as ort
    make = lambda network, x: ort_runner(argument, network, x)  # noqa: E731
last = None
for line in sys.stdin:
    network, rows, calls = line.split()
    rows, calls = int(rows), int(calls)
    if last != (network, rows):
        x = np.fromfile(work / "networks" / f"{network}.x.f32", np.float32).reshape(-1, networks[network]["sizes"][0])
        run = make(network, np.ascontiguousarray(x[:rows]))
        label = "kimic" if tool == "kimic" else "ort" + argument.removesuffix(".onnx")
        np.asarray(run(), np.float32).tofile(work / "outputs" / f"{label}.{network}.{rows}")
        last = network, rows
    begin = time.perf_counter_ns()
    for _ in range(calls):
        run()
    print((time.perf_counter_ns() - begin) / calls, flush=True)
