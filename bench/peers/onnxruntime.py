"""onnxruntime: predictions of a network that `fastnn.onnx` exported, values and all."""

import tempfile
from typing import Any

from bench.nets import Net, Work, package


def predict(net: Net) -> Work | None:
    """One batch; as many threads as fastnn has at this moment, which wait without spinning."""
    if not package("bench.peers").installed("onnx"):
        return None
    runtime = package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = package("fastnn").get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        package("fastnn.onnx").export(net.build(package("fastnn_ref")), path, input_shape=net.shape)
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: net.data()[0]}
    return lambda: session.run(None, feed)[0]


CANDIDATES: dict[str, Any] = {"predict": {"onnxruntime": predict}}
