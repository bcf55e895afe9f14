"""Serving: an HTTP server answers with the newest predictor, while another thread trains the model.

    python examples/serving.py         # with fastnn
    python examples/serving.py ref     # the same with fastnn_ref

A predictor is a copy of the model that only predicts. Any number of threads use it at once, and training does not
change it. So the server needs no lock: after each epoch a callback assigns a new predictor to one attribute, and each
request reads the attribute once. Clients ask meanwhile. In the end each answer is looked for among those of all
predictors, bit for bit, as JSON keeps every digit. A body that is no list of images gets status 400 and the library's
own error, which names the argument and what was expected.

``http.server`` is for programs on the same machine: it limits neither the length of a body nor the number of threads.
"""

import argparse
import http.client
import importlib
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.datasets import load_digits


def net(nn: ModuleType) -> Any:
    """A network for images of 8 by 8 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 256, activation="relu"), nn.Dropout(0.3), nn.Linear(256, 10),
                         input_shape=(8, 8), seed=0)


def reply(predictor: Any, body: bytes) -> tuple[int, dict[str, Any]]:
    """The status, and what the JSON of the answer holds."""
    try:
        probabilities = predictor.predict_proba(json.loads(body))
    except (TypeError, ValueError, RecursionError) as error:
        return 400, {"error": str(error)}
    if not np.isfinite(probabilities).all():                    # JSON has no NaN
        return 400, {"error": "x: expected numbers that are finite and not too large"}
    return 200, {"classes": probabilities.argmax(axis=1).tolist(), "probabilities": probabilities.tolist()}


class Server(ThreadingHTTPServer):
    """Its predictor may be replaced at any time."""

    predictor: Any


class Handler(BaseHTTPRequestHandler):
    """Answers one request, in a thread of its own."""

    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.path == "/predict"
        status, found = reply(self.server.predictor, body) if right else (404, {"error": "expected POST /predict"})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *arguments: Any, **named: Any) -> None:
        """Nothing is written for a request."""


@contextmanager
def serving(predictor: Any) -> Iterator[Server]:
    """A server that answers until the block ends."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.predictor = predictor
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        try:
            yield server
        finally:
            server.shutdown()


def ask(server: Server, images: Any, path: str = "/predict") -> tuple[int, Any]:
    """A client's request: the status, and what the JSON of the answer holds."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(images))
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def keep_asking(server: Server, images: Any, training: Future[Any]) -> list[Any]:
    """A client's answers until the training is over, and one more."""
    found = []
    while not training.done():
        found.append(ask(server, images)[1])
    return [*found, ask(server, images)[1]]


def numbers(answers: Sequence[Any], predictors: Sequence[Any], images: Any) -> list[int]:
    """Which predictor each answer is of, bit for bit; −1 where it is of none."""
    known = [{"classes": each.predict_classes(images).tolist(), "probabilities": each.predict_proba(images).tolist()}
             for each in predictors]
    return [known.index(each) if each in known else -1 for each in answers]


def main(nn: ModuleType, n: int = 1200, epochs: int = 15, clients: int = 3) -> tuple[list[float], list[list[int]]]:
    """Accuracy of the first and the last predictor's answers; the numbers of the predictors that each client met."""
    data = load_digits()
    images, t, model = data.images / 16, data.target, net(nn)
    predictors, held_out = [model.predictor()], images[n:].tolist()
    with serving(predictors[0]) as server, ThreadPoolExecutor(clients + 1) as pool:

        def publish(epoch: int, logs: Any) -> None:
            predictors.append(model.predictor())
            server.predictor = predictors[-1]

        answers = [ask(server, held_out)[1]]
        training = pool.submit(
            model.fit, images[:n], t[:n], loss=nn.CrossEntropyLoss(), optimizer=nn.Adam(lr=0.001), epochs=epochs,
            batch_size=32, callbacks=[nn.LambdaCallback(on_epoch_end=publish)])
        parts = [images[n + 10 * client:][:client + 1] for client in range(clients)]
        jobs = [pool.submit(keep_asking, server, part.tolist(), training) for part in parts]
        training.result()
        found = [numbers(job.result(), predictors, part) for job, part in zip(jobs, parts, strict=True)]
        answers.append(ask(server, held_out)[1])
        refused = [ask(server, bad) for bad in ([[[0.5] * 7] * 8], [], [[[None] * 8] * 8])]
    accuracy = [float((np.array(each["classes"]) == t[n:]).mean()) for each in answers]
    print(f"{epochs} epochs, {len(predictors)} predictors, {clients} clients; "
          f"answers that are of no predictor: {sum(each.count(-1) for each in found)}")
    print(f"accuracy of the first predictor's answers {accuracy[0]:.3f}, of the last one's {accuracy[1]:.3f}")
    for status, body in refused:
        print(f"status {status}: {body['error']}")
    return accuracy, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", nargs="?", default="fast", choices=("fast", "ref"))
    main(importlib.import_module("fastnn_ref" if parser.parse_args().package == "ref" else "fastnn"))
