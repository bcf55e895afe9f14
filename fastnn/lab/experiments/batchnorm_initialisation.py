"""Batch normalization: training works whatever the size of the initial weights is."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, curves


def norm(trial, size=64):
    """BatchNorm1d; or the same in NumPy, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken
    if broken not in ("batch-statistics", "constant-statistics"):
        return nn.BatchNorm1d(size)

    class Norm(nn.CustomLayer):
        def __init__(self):
            for name, start in (("weight", "ones"), ("bias", "zeros"), ("mean", "zeros"), ("var", "ones")):
                self.add(name, (size,), start, trainable=name in ("weight", "bias"))

        def forward_pass(self, x, training):
            v, now = self.values, training or broken == "batch-statistics"
            mean, var = (x.mean(axis=0), x.var(axis=0)) if now else (v["mean"], v["var"])
            if training:
                v["mean"][...], v["var"][...] = 0.9 * v["mean"] + 0.1 * mean, 0.9 * v["var"] + 0.1 * var
            std = np.sqrt(var + 1e-5)
            self.saved = (x - mean) / std, std
            return v["weight"] * self.saved[0] + v["bias"]

        def backward_pass(self, dy):
            z, std = self.saved
            self.set_gradients((dy * z).sum(axis=0), dy.sum(axis=0))
            dz = dy * self.values["weight"]
            return dz / std if broken == "constant-statistics" else \
                (dz - dz.mean(axis=0) - z * (dz * z).mean(axis=0)) / std

    return Norm()


def deep(trial, normalised, scale):
    """Six hidden layers; the initial weights are He's, times ``scale``."""
    nn = trial.nn
    blocks = [[nn.Linear(64, 64, init="he_uniform"), *([norm(trial)] if normalised else []), nn.ReLU()]
              for _ in range(6)]
    model = trial.model([*(layer for each in blocks for layer in each), nn.Linear(64, 10)])
    for _, value, _, _ in model.parameters():
        value *= scale if value.ndim > 1 else 1
    return model


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    found = {}
    for arm, normalised in (("plain", False), ("norm", trial.broken != "left-out")):
        accuracies = [trial.train(arm, deep(trial, normalised, scale), data, epochs=s.epochs, lr=s.lr)
                      .accuracy(data.x_test, data.t_test) for scale in s.scales]
        trial.curve(arm, accuracies)
        found[arm] = sum(each >= 70 for each in accuracies)
        found[f"{arm} at 1"] = accuracies[s.scales.index(1)]
    model = trial.models["norm"]
    alone, beside = model.predict(data.x_test[:1]), model.predict(data.x_test[:64])[:1]
    small = nn.Sequential(nn.Linear(8, 64), norm(trial), nn.Linear(64, 3), seed=trial.seed, dtype="float64")
    check = nn.gradcheck(small, trial.random.normal(size=(7, 8)), np.arange(7) % 3, nn.CrossEntropyLoss(), samples=20)
    # NumPy's product may round a row by itself in another way; in the engine's float32 1e-12 is 0.
    return found | {"alone": np.abs(alone - beside).max(), "gradient": check.worst}


experiment = Experiment(
    name="batchnorm_initialisation",
    claim=Text("With batch normalization a deep network trains whatever the size of its initial weights is.",
               "С пакетной нормализацией (batch normalization) глубокая сеть обучается при любом масштабе начальных "
               "весов."),
    question=Text("At how many of the five scales does the network with batch normalization train?",
                  "При скольких из пяти масштабов обучится сеть с пакетной нормализацией?"),
    setup={"n": 800, "layers": "64-6x64-10", "scales": (0.1, 0.3, 1, 3, 10), "epochs": 10, "lr": 0.05},
    trial=trial,
    checks=[
        Check("normalised", Text("scales at which it trains (accuracy of 70 % or more)",
                                 "масштабы, при которых она обучается (точность от 70 %)"), "norm", above=4),
        Check("plain", Text("the same without normalization", "то же без нормализации"), "plain", below=2.5),
        Check("alone", Text("outputs of a row predicted alone and in its batch: difference",
                            "выходы строки отдельно и внутри пакета: разница"), "alone", below=1e-12, every=True),
        Check("gradient", Text("the worst error of a gradient", "наибольшая ошибка градиента"), "gradient", below=1e-6,
              every=True),
        Check("well scaled", Text("test accuracy at He's own scale, with minus without",
                                  "точность на тесте при масштабе Хе (He), с нормализацией минус без"),
              "norm at 1 - plain at 1",
              unit=Text("points", "п. п."), role="limit"),
    ],
    unequal=["gradient", "alone"],
    mutations={
        "batch-statistics": Mutation(Text("prediction uses the statistics of its batch",
                                          "при предсказании берётся статистика текущего пакета"), "alone"),
        "constant-statistics": Mutation(Text("backward treats mean and variance as constants",
                                             "на обратном пути среднее и дисперсия считаются постоянными"), "gradient"),
        "left-out": Mutation(Text("the layers are left out", "слои пропущены"), "normalised"),
    },
    picture=curves({"plain": Text("without", "без нормализации"),
                    "norm": Text("batch normalization", "с нормализацией")},
                   x=Text("scale of the initial weights, 0.1 to 10 times He's",
                          "масштаб начальных весов, от 0,1 до 10 масштабов Хе"),
                   y=Text("test accuracy, %", "точность на тесте, %"), xticks=range(1, 6),
                   xticklabels=["0.1", "0.3", "1", "3", "10"]),
    alt=Text("Test accuracy at five scales of the initial weights: high at all with normalization, at few without.",
             "Точность на тесте при пяти масштабах начальных весов: с нормализацией высокая при всех, без неё при "
             "немногих."),
    limits=Text("With initial weights of the right size it adds little to the accuracy here.",
                "При начальных весах верного масштаба она почти не добавляет точности."),
    sources=["Ioffe and Szegedy (2015)"],
)
