"""Vanishing gradients: what ten layers leave of a gradient on its way back."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, curves

NAMES = ("sigmoid", "tanh", "relu")


def trial(trial):
    nn, depth, broken, data = trial.nn, trial.setup.depth, trial.broken, trial.digits(trial.setup.n)

    class NoSlope(nn.CustomActivation):
        def act(self, u):
            return 1 / (1 + np.exp(-u))

        def act_backward(self, dy, u, y):
            return dy

    found = {}
    for name in NAMES:
        activation = "sigmoid" if broken == "wrong-activation" else name
        layers = [nn.Linear(64, 64, activation=NoSlope() if broken == "slope-left-out" and name == "sigmoid"
                            else activation) for _ in range(depth)]
        model = nn.Sequential(*layers, nn.Linear(64, 10), seed=trial.seed, dtype=trial.dtype)
        loss = nn.CrossEntropyLoss()
        loss.forward(model.forward(data.x, training=True), data.t)
        model.backward(loss.backward())
        norms = [np.linalg.norm(model.grads[f"{layer}.weight"].astype(np.float64)) for layer in range(depth)]
        logs = np.log10(np.maximum(norms, 1e-30))
        trial.curve(name, logs - logs[-1])
        trial.models[name] = model
        found[name] = logs[0] - logs[-1]
    return found


experiment = Experiment(
    name="vanishing_gradient",
    claim=Text("Sigmoids let the gradient vanish: in a deep network the first layers hardly learn.",
               "Сигмоиды (sigmoid) приводят к затуханию градиента (vanishing gradient): первые слои глубокой сети "
               "почти не обучаются."),
    question=Text("The gradient of layer 1 over that of layer 10 with sigmoids, as a power of ten?",
                  "Отношение градиента слоя 1 к градиенту слоя 10 с сигмоидами: степень десяти?"),
    setup={"n": 256, "depth": 10, "width": 64},
    trial=trial,
    checks=[
        Check("sigmoid", Text("log₁₀ of the gradient's norm, layer 1 / layer 10, sigmoid",
                              "log₁₀ отношения норм градиента, слой 1 / слой 10, сигмоида"), "sigmoid", below=-3),
        Check("tanh", Text("the same, tanh", "то же, tanh"), "tanh", above=-1, role="limit"),
        Check("relu", Text("the same, ReLU", "то же, ReLU"), "relu", above=-1, role="limit"),
    ],
    mutations={
        "slope-left-out": Mutation(Text("the derivative of the sigmoid is left out", "пропущена производная сигмоиды"),
                                   "sigmoid"),
        "wrong-activation": Mutation(Text("all networks have sigmoids", "во всех сетях сигмоиды"), "relu"),
    },
    picture=curves({"sigmoid": Text("sigmoid", "сигмоида"), "tanh": "tanh", "relu": "ReLU"}, x=Text("layer", "слой"),
                   y=Text("log₁₀ of the gradient / layer 10's", "log₁₀ градиента / слоя 10")),
    alt=Text("The gradient's norm by layer: with sigmoids it falls to about a quarter with each layer towards "
             "the input, with tanh and ReLU it stays.",
             "Норма градиента по слоям: с сигмоидами она падает примерно вчетверо на каждый слой по пути ко входу, с "
             "tanh и ReLU остаётся."),
    limits=Text("With initial values that suit the activation, tanh does not vanish either: the slope at 0 is 1.",
                "При подходящих начальных весах градиент не затухает и с tanh: его производная в нуле равна 1."),
    sources=["Hochreiter (1991)", "Glorot and Bengio (2010)"],
)
