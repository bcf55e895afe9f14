"""DropConnect: dropout of weights instead of units."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def connect(trial, inputs, outputs, p, mask="batch", relu=True):
    """DropConnect; or the same in NumPy, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken
    if broken not in ("no-rescale", "mask-left-out", "units"):
        return [nn.DropConnect(inputs, outputs, 0.0 if broken == "left-out" else p, mask=mask,
                               activation="relu" if relu else None,
                               inference="mean" if broken == "mean-prediction" else "gaussian")]

    class Wrong(nn.CustomLayer):
        def __init__(self):
            self.add("weight", (inputs, outputs), "he_uniform")
            self.add("bias", (outputs,), "zeros")

        def output_shape(self, shape):
            return (outputs,)

        def forward_pass(self, x, training):
            w, b, masks = self.values["weight"], self.values["bias"], len(x) if mask == "example" else 1
            if not training:
                return x @ w + b
            keep = (self.random_words(masks * w.size).reshape(masks, inputs, outputs) >= p * 2**32).astype(x.dtype)
            keep = (keep[:, :1] if broken == "units" else keep) / (1 if broken == "no-rescale" else 1 - p)
            self.saved = x, keep
            return np.einsum("ni,nio->no", x, w * keep) + b

        def backward_pass(self, dy):
            x, keep = self.saved
            dw = x[:, :, None] * dy[:, None, :] * (1 if broken == "mask-left-out" else keep)
            self.set_gradients(dw.sum(axis=0), dy.sum(axis=0))
            return np.einsum("no,nio->ni", dy, self.values["weight"] * keep)

    return [Wrong(), *([nn.ReLU()] if relu else [])]


def without_weights(trial, trained, data, tries=3):
    """Accuracy with a share of the first layer's weights removed, and the others made larger."""
    nn, share, accuracies = trial.nn, trial.setup.removed, []
    plain = nn.Sequential(nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10))
    whole = [value.astype(np.float32) for _, value, _, _ in trained.model.parameters()]
    for _ in range(tries):
        kept = (trial.random.random(whole[0].shape) >= share) / (1 - share)
        for (_, value, *_), own in zip(plain.parameters(), [whole[0] * kept, *whole[1:]], strict=True):
            value[...] = own
        accuracies.append(100 * (plain.predict(data.x_test).argmax(axis=1) == data.t_test).mean())
    return np.mean(accuracies)


def trial(trial):
    nn, s, random = trial.nn, trial.setup, trial.random
    found = {}
    for name, data, p in (("", trial.digits(s.n), s.p), (" few", trial.digits(s.n_few), s.p_few)):
        for arm, layer in (("plain", [nn.Linear(64, 128, activation="relu")]), ("dropped", connect(trial, 64, 128, p))):
            trained = trial.train(arm + name, [*layer, nn.Linear(128, 10)], data, epochs=s.epochs, lr=s.lr)
            found[arm + name] = trained.accuracy(data.x_test, data.t_test)
            if not name:
                found[f"{arm} removed"] = without_weights(trial, trained, data)
    model = nn.Sequential(*connect(trial, 256, 16, 0.2, "example", relu=False), seed=trial.seed, dtype="float64")
    model.load_state_dict(model.state_dict() | {"0.weight": np.ones((256, 16))})        # a sum of 256 masks
    sums = model.forward(np.ones((64, 256)), training=True).copy()
    away = abs(sums.mean() / 256 - 1) / np.sqrt(0.2 / 0.8 / (256 * sums.size))
    model = nn.Sequential(*connect(trial, 64, 16, 0.5, "example"), seed=trial.seed, dtype="float64")
    x = random.normal(size=(1, 64))
    passes = model.forward(x.repeat(400, axis=0), training=True)
    z = (passes.mean(axis=0) - model.predict(x)[0]) / np.maximum(passes.std(axis=0) / 20, 1e-3)
    small = nn.Sequential(*connect(trial, 4, 6, 0.2, relu=False), nn.Tanh(), nn.Linear(6, 3), seed=trial.seed,
                          dtype="float64")
    check = nn.gradcheck(small, random.normal(size=(6, 4)), np.arange(6) % 3, nn.CrossEntropyLoss())
    return found | {"away": away, "units": float((sums == 0).sum()), "moments": np.sqrt(np.mean(z**2)),
                    "gradient": check.worst}


def control(trial):
    nn, data = trial.nn, trial.digits(96)
    first = nn.Linear(64, 32, activation="relu"), nn.DropConnect(64, 32, 0.0, activation="relu")
    return distance(*(trial.train("", [each, nn.Linear(32, 10)], data, epochs=10, lr=0.1, steps=20).model
                      for each in first))


experiment = Experiment(
    name="dropconnect",
    claim=Text("With DropConnect no output relies on single weights: the network survives the loss of most of them, "
               "and is as accurate.",
               "С DropConnect выход не зависит от отдельных весов: сеть выдерживает потерю большинства из них и не "
               "теряет точности."),
    question=Text("70 % of the hidden layer's weights are removed: how many points of accuracy does DropConnect save?",
                  "Удалено 70 % весов скрытого слоя: сколько процентных пунктов точности сохранит DropConnect?"),
    setup={"n": 300, "layers": "64-128-10", "p": 0.5, "mask": Text("one for a batch", "одна на пакет"), "removed": 0.7,
           "n_few": 100, "p_few": 0.8, "epochs": 80, "lr": 0.05},
    trial=trial,
    control=control,
    checks=[
        Check("robust", Text("test accuracy without 70 % of the weights, with DropConnect minus without",
                             "точность на тесте без 70 % весов, с DropConnect минус без"),
              "dropped removed - plain removed", above=4, unit=Text("points", "п. п.")),
        Check("gain", Text("test accuracy, with DropConnect minus without",
                           "точность на тесте, с DropConnect минус без"), "dropped - plain", above=-0.3,
              unit=Text("points", "п. п.")),
        Check("rescaled", Text("mean of training passes against prediction, in standard errors",
                               "среднее проходов обучения против предсказания, в стандартных ошибках"), "away",
              below=4.5, every=True),
        Check("moments", Text("the same after ReLU, root mean square: E[relu(u)] is not relu(E[u])",
                              "то же после ReLU, среднеквадратичное: E[relu(u)] не равно relu(E[u])"), "moments",
              below=2, every=True),
        Check("weights", Text("outputs that are 0 in a training pass", "выходы, равные нулю в проходе обучения"),
              "units", above=0, below=0, every=True),
        Check("gradient", Text("the worst error of a gradient", "наибольшая ошибка градиента"), "gradient", below=1e-6,
              every=True),
        Check("few", Text("gain with p = 0.8 on 100 digits", "выигрыш с p = 0,8 на 100 цифрах"),
              "dropped few - plain few", below=0, unit=Text("points", "п. п."), role="limit"),
    ],
    unequal=["gradient"],
    mutations={
        "no-rescale": Mutation(Text("weights that remain are not multiplied by 1/(1 − p)",
                                    "оставшиеся веса не умножаются на 1/(1 − p)"), "rescaled"),
        "mean-prediction": Mutation(Text("prediction uses the mean weights and forgets the variance of their sum",
                                         "предсказание берёт средние веса и забывает о дисперсии суммы"), "moments"),
        "units": Mutation(Text("units are zeroed, not weights", "обнуляются нейроны, а не веса"), "weights"),
        "mask-left-out": Mutation(Text("the mask is missing in the weights' gradient", "в градиенте весов нет маски"),
                                  "gradient"),
        "left-out": Mutation(Text("p is 0", "p равно 0"), "robust"),
    },
    picture=arms({"plain": Text("without", "без"), "dropped": "DropConnect",
                  "plain removed": Text("without,\n70 % removed", "без,\nудалено 70 %"),
                  "dropped removed": Text("DropConnect,\n70 % removed", "с ним,\nудалено 70 %")},
                 y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds: about equal for whole networks; with 70 % of the weights removed the network "
             "without DropConnect falls far below the one with it.",
             "Точность на тесте во всех запусках: у целых сетей почти равна; без 70 % весов сеть без DropConnect "
             "намного хуже."),
    limits=Text("With few examples, or a large p, it costs accuracy. One mask for a batch is fast; one for each "
                "example, as in the paper, takes about eight times as long.",
                "Если примеров мало или p велико, точность падает. Одна маска на пакет — это быстро; своя для каждого "
                "примера, как в статье, примерно в восемь раз медленнее."),
    sources=["Wan et al. (2013)"],
)
