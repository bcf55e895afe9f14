"""A neural network in plain Python, without NumPy: a neuron, a layer, backpropagation, a step.

docs/tutorial.md explains it, examples/tutorial.py trains it. It computes what ``fastnn_ref`` computes, to rounding
(tests/test_examples.py).
"""

import math


def neuron(x, weights, bias):
    """u = Σ xᵢ·wᵢ + b: a weighted sum of the inputs, and a bias."""
    return sum(xi * wi for xi, wi in zip(x, weights, strict=True)) + bias


class Layer:
    """Neurons that see the same inputs: y = relu(u), or y = u."""

    def __init__(self, weights, biases, relu):
        self.weights = [list(row) for row in weights]           # weights[j][i]: from input i to neuron j
        self.biases, self.relu = list(biases), relu
        self.forget()

    def forget(self):
        """Gradients of 0, shaped as the weights and biases."""
        self.dweights = [[0.0] * len(row) for row in self.weights]
        self.dbiases = [0.0] * len(self.biases)

    def forward(self, x):
        """y for one example x."""
        self.x = x
        self.u = [neuron(x, *each) for each in zip(self.weights, self.biases, strict=True)]
        return [max(u, 0.0) for u in self.u] if self.relu else self.u

    def backward(self, dy):
        """Adds ∂loss/∂w and ∂loss/∂b of one example, and returns dx = ∂loss/∂x, from dy = ∂loss/∂y."""
        du = [d if u > 0 or not self.relu else 0.0 for d, u in zip(dy, self.u, strict=True)]
        for j, d in enumerate(du):
            self.dbiases[j] += d
            for i, xi in enumerate(self.x):
                self.dweights[j][i] += d * xi
        return [sum(d * row[i] for d, row in zip(du, self.weights, strict=True)) for i in range(len(self.x))]

    def update(self, lr):
        """Gradient descent: w ← w − lr · dw."""
        for row, drow in zip(self.weights, self.dweights, strict=True):
            row[:] = [w - lr * d for w, d in zip(row, drow, strict=True)]
        self.biases = [b - lr * d for b, d in zip(self.biases, self.dbiases, strict=True)]


def cross_entropy(y, t):
    """(−ln p_t, ∂/∂y) for p = softmax(y): how surprised the network is by the class t."""
    top = max(y)
    powers = [math.exp(each - top) for each in y]
    p = [each / sum(powers) for each in powers]
    return -math.log(p[t]), [each - (k == t) for k, each in enumerate(p)]


def predict(layers, x):
    """The outputs of a row of layers."""
    for layer in layers:
        x = layer.forward(x)
    return x


def step(layers, rows, targets, lr):
    """Forward, loss, backward, update on one batch; returns the mean loss before the update."""
    total = 0.0
    for x, t in zip(rows, targets, strict=True):
        value, dy = cross_entropy(predict(layers, x), t)
        total += value / len(rows)
        dy = [d / len(rows) for d in dy]
        for layer in reversed(layers):
            dy = layer.backward(dy)
    for layer in layers:
        layer.update(lr)
        layer.forget()
    return total
