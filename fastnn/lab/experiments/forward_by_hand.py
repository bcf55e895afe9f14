"""The forward pass of a small network, worked out on paper: sums, products and one function."""

import math

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms

X = [1.0, 2.0]                                  # u = ± ln 3, h = 3/4 and 1/4, u = ln 8 − ln 4 + ln 2 = ln 4, y = 4/5
PAPER = [([[2.0, -2.0], [-1.0, 1.0]], [math.log(3), -math.log(3)]), ([[math.log(16)], [-math.log(256)]], [math.log(2)])]


def on_paper(x, layers):
    """One neuron after the other, in plain Python: u = Σ xᵢ·wᵢ + b, y = 1/(1 + e⁻ᵘ)."""
    for weight, bias in layers:
        x = [1 / (1 + math.exp(-sum(value * row[unit] for value, row in zip(x, weight, strict=True)) - bias[unit]))
             for unit in range(len(bias))]
    return x


def network(trial, layers, dtype="float64"):
    """The same network as a model, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken

    class WrongSign(nn.CustomActivation):
        def act(self, u):
            return 1 / (1 + np.exp(u))

        def act_backward(self, dy, u, y):
            return -dy * y * (1 - y)

    hidden = {"no-activation": None, "wrong-sign": WrongSign()}.get(broken, "sigmoid")
    model = nn.Sequential(nn.Linear(2, 2, activation=hidden), nn.Linear(2, 1, activation="sigmoid"),
                          dtype="float32" if broken == "float32" else dtype)
    for layer, (weight, bias) in zip(model.layers, layers, strict=True):
        layer.weight = np.transpose(weight) if broken == "transposed" and layer.weight.shape == (2, 2) else weight
        layer.bias = bias if broken != "no-bias" else [0.0] * len(bias)
    return model


def trial(trial):
    model = trial.models["paper"] = network(trial, PAPER)
    found, worst = {"y": model.predict([X]).item()}, {"float64": 1e-17, "float32": 1e-17}
    for _ in range(20):
        layers = [(trial.random.normal(size=(2, n)).tolist(), trial.random.normal(size=n).tolist()) for n in (2, 1)]
        x = trial.random.normal(size=2).tolist()
        for dtype in worst:
            gap = abs(network(trial, layers, dtype).predict([x]).item() - on_paper(x, layers)[0])
            worst[dtype] = max(worst[dtype], gap)
    return found | {"any": worst["float64"]} | {f"log {dtype}": np.log10(gap) for dtype, gap in worst.items()}


experiment = Experiment(
    name="forward_by_hand",
    claim=Text("A forward pass is sums, products and one function for each neuron: the network gives what one works "
               "out on paper.",
               "Прямой проход (forward pass) — это суммы, произведения и одна функция на каждый нейрон: сеть даёт то "
               "же, что и расчёт на бумаге."),
    question=Text("Work it out for x = (1, 2): what is the output y?", "Вычислите для x = (1, 2): чему равен выход y?"),
    setup={"layers": "2-2-1, sigmoid", "x": "1, 2",
           "first": Text("hidden neuron: weights 2, −1, bias ln 3", "скрытый нейрон: веса 2, −1, смещение ln 3"),
           "second": Text("hidden neuron: weights −2, 1, bias −ln 3", "скрытый нейрон: веса −2, 1, смещение −ln 3"),
           "output": Text("weights ln 16, −ln 256, bias ln 2", "веса ln 16, −ln 256, смещение ln 2"),
           "dtype": "float64"},
    trial=trial,
    checks=[
        Check("output", Text("the output y; on paper it is 4/5", "выход y; на бумаге он равен 4/5"), "y",
              above=0.8 - 1e-12, below=0.8 + 1e-12, every=True),
        Check("any weights", Text("20 random networks against Python's own numbers, the largest difference",
                                  "20 случайных сетей против обычных чисел Python, наибольшая разность"), "any",
              below=1e-12, every=True),
        Check("exact", Text("log₁₀ of that difference", "log₁₀ этой разности"), "log float64", below=-14),
        Check("float32", Text("log₁₀ of the difference in float32", "log₁₀ разности в float32"), "log float32",
              above=-8, role="limit"),
    ],
    unequal=["any", "log float64", "log float32"],
    mutations={
        "transposed": Mutation(Text("the weights are transposed", "веса транспонированы"), "output"),
        "no-bias": Mutation(Text("the biases are left out", "смещения пропущены"), "output"),
        "no-activation": Mutation(Text("the hidden layer has no activation", "в скрытом слое нет функции активации"),
                                  "output"),
        "wrong-sign": Mutation(Text("1/(1 + eᵘ) in place of 1/(1 + e⁻ᵘ)", "1/(1 + eᵘ) вместо 1/(1 + e⁻ᵘ)"), "output"),
        "float32": Mutation(Text("the model has 32 bits for a number, not 64", "у модели 32 бита на число, а не 64"),
                            "any weights"),
    },
    picture=arms({"log float64": "float64", "log float32": "float32"},
                 y=Text("log₁₀ of the difference", "log₁₀ разности")),
    alt=Text("The largest difference of each seed: near ten to the minus sixteen in float64, ten to the minus seven in "
             "float32.", "Наибольшая разность в каждом запуске: около десяти в минус шестнадцатой для float64, десяти "
             "в минус седьмой для float32."),
    limits=Text("In float32, the usual dtype of training, only seven digits are those on paper.",
                "В float32, обычном типе для обучения, с бумагой совпадают лишь семь цифр."),
    sources=["Rumelhart, Hinton and Williams (1986)"],
)
