"""Why there are activations: linear layers in a row are one linear layer."""

import numpy as np

from ...datasets import make_spirals
from .. import Check, Data, Experiment, Mutation, Text, curves, distance


def layers(trial, activation):
    nn, width = trial.nn, trial.setup.width
    return [nn.Linear(2, width, activation=activation, init="he_uniform"),
            nn.Linear(width, width, activation=activation, init="he_uniform"), nn.Linear(width, 2)]


def trial(trial):
    s, broken = trial.setup, trial.broken
    drawn = make_spirals(2 * s.n, turns=s.turns, test_size=0.5, seed=trial.seed)
    data = Data(drawn.x_train, drawn.t_train, drawn.x_test, drawn.t_test)
    trial.hash(data.x, data.t)
    how = {"epochs": s.epochs, "lr": s.lr}
    linear = trial.train("linear", layers(trial, "relu" if broken == "activation-left-in" else None), data, **how)
    relu = trial.train("relu", layers(trial, None if broken == "activation-left-out" else "relu"), data, **how)
    weight, bias = np.eye(2), np.zeros(2)               # the product of all layers
    for layer in linear.model.layers:
        weight, bias = weight @ layer.weight, bias @ layer.weight + layer.bias
    outputs = linear.model.predict(data.x_test)
    apart = np.abs(data.x_test @ weight + bias - outputs).max() / np.abs(outputs).max()
    for name, arm in (("linear", linear), ("relu", relu)):
        trial.curve(name, arm.history["loss"])
    return {"collapse": apart, "linear": linear.accuracy(data.x_test, data.t_test),
            "relu": relu.accuracy(data.x_test, data.t_test)}


def control(trial):
    """leaky_relu of slope 1 is the identity."""
    x = Data(*(trial.random.normal(size=(64, 2)), np.arange(64) % 2) * 2)
    arms = [trial.train("", layers(trial, each), x, epochs=10, lr=0.1) for each in (None, trial.nn.Identity())]
    return distance(*(arm.model for arm in arms))


experiment = Experiment(
    name="nonlinearity",
    claim=Text("Without a nonlinear activation a deep network is only a linear model: it cannot separate two spirals.",
               "Без нелинейной функции активации (activation function) глубокая сеть остаётся линейной моделью: "
               "две спирали она не разделит."),
    question=Text("What test accuracy does the network with ReLU reach, in percent?",
                  "Какой точности на тесте достигнет сеть с ReLU, в процентах?"),
    setup={"n": 500, "turns": 1.75, "width": 32, "epochs": 150, "lr": 0.1},
    trial=trial,
    control=control,
    checks=[
        Check("relu", Text("test accuracy with ReLU", "точность на тесте с ReLU"), "relu", above=98, unit="%"),
        Check("linear", Text("test accuracy without an activation", "точность на тесте без функции активации"),
              "linear", below=70, unit="%", role="limit"),
        Check("collapse", Text("outputs of the linear layers and of one matrix, relative difference",
                               "выходы линейных слоёв и одной матрицы, относительная разница"),
              "collapse", below=1e-4, every=True),
    ],
    unequal=["collapse"],
    mutations={
        "activation-left-out": Mutation(Text("the hidden layers have no ReLU", "в скрытых слоях нет ReLU"), "relu"),
        "activation-left-in": Mutation(Text("the network that should be linear has ReLU",
                                            "в сети, которая должна быть линейной, есть ReLU"), "collapse"),
    },
    picture=curves({"linear": Text("linear", "линейная"), "relu": "ReLU"}, x=Text("epoch", "эпоха"),
                   y=Text("loss", "потери")),
    alt=Text("Loss over epochs, a line for each seed: with ReLU it falls almost to 0, without it stays near 0.63.",
             "Потери по эпохам, по линии на запуск: с ReLU они падают почти до 0, без неё остаются около 0,63."),
    limits=Text("Depth alone does not help: three linear layers have the accuracy of one.",
                "Одна глубина не помогает: три линейных слоя так же точны, как один."),
    sources=["Cybenko (1989)", "Glorot, Bordes and Bengio (2011)"],
)
