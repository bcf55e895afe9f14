"""Dropout: units that cannot rely on each other."""

import itertools

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def drop(trial, p):
    """Dropout; or the same in NumPy, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken
    if broken not in ("no-rescale", "same-mask", "mask-left-out"):
        return nn.Dropout(p if broken != "left-out" else 0.0)

    class Wrong(nn.CustomLayer):
        def forward_pass(self, x, training):
            if not training:
                return x
            words = np.arange(x.size) * 2654435761 % 2**32 if broken == "same-mask" else self.random_words(x.size)
            self.saved = (words.reshape(x.shape) >= p * 2**32).astype(x.dtype)
            return x * self.saved / (1 if broken == "no-rescale" else 1 - p)

        def backward_pass(self, dy):
            return dy * (1 if broken == "mask-left-out" else self.saved) / (1 if broken == "no-rescale" else 1 - p)

    return Wrong()


def layers(trial, widths, p, p_input=0.0):
    """Linear layers of these widths, dropout behind each hidden one, and at the input."""
    found = [drop(trial, p_input)] if p_input else []
    for inputs, outputs in itertools.pairwise(widths[:-1]):
        found += [trial.nn.Linear(inputs, outputs, activation="relu"), *([drop(trial, p)] if p else [])]
    return [*found, trial.nn.Linear(*widths[-2:])]


def without_half(trial, trained, data, tries=3):
    """Accuracy with half of the units of each hidden layer removed, and the others doubled."""
    model, accuracies = trained.model, []
    before = model.state_dict()
    for _ in range(tries):
        for weight in [value for _, value, _, _ in model.parameters() if value.ndim > 1][1:]:
            weight *= 2 * (trial.random.permutation(len(weight)) % 2)[:, None]
        accuracies.append(trained.accuracy(data.x_test, data.t_test))
        model.load_state_dict(before)
    return np.mean(accuracies)


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    found = {}
    for arm, p, p_input in (("plain", 0, 0), ("dropout", s.p, s.p_input)):
        one = trial.train(arm, layers(trial, (64, 256, 10), p, p_input), data, epochs=s.epochs, lr=s.lr)
        two = trial.train(f"{arm}, two hidden", layers(trial, (64, 256, 256, 10), p), data,
                          epochs=-(-s.epochs // 2), lr=s.lr_two_hidden)
        found[arm] = one.accuracy(data.x_test, data.t_test)
        found[f"{arm} NLL"] = one.model.evaluate(data.x_test, data.t_test, nn.CrossEntropyLoss())["loss"]
        found[f"{arm} whole"] = two.accuracy(data.x_test, data.t_test)
        found[f"{arm} half"] = without_half(trial, two, data)
    layer = nn.Sequential(drop(trial, 0.2), seed=trial.seed, dtype="float64")       # at p = 0.5 errors hide
    passes = [layer.forward(np.ones((8, 256)), training=True).copy() for _ in range(32)]
    away = abs(np.mean(passes) - 1) / np.sqrt(0.2 / 0.8 / np.size(passes))
    small = nn.Sequential(nn.Linear(4, 6, activation="tanh"), drop(trial, 0.2), nn.Linear(6, 3), seed=trial.seed,
                          dtype="float64")
    check = nn.gradcheck(small, trial.random.normal(size=(6, 4)), np.arange(6) % 3, nn.CrossEntropyLoss())
    return found | {"away": away, "fresh": float((passes[0] != passes[1]).sum()), "gradient": check.worst}


def control(trial):
    nn, data = trial.nn, trial.digits(96)
    zero = [nn.Dropout(0.0), nn.Linear(64, 32, activation="relu"), nn.Dropout(0.0), nn.Linear(32, 10)]
    plain = [nn.Linear(64, 32, activation="relu"), nn.Linear(32, 10)]
    return distance(*(trial.train("", each, data, epochs=10, lr=0.1, steps=20).model for each in (plain, zero)))


experiment = Experiment(
    name="dropout",
    claim=Text("With dropout units do not rely on each other, so the network survives the loss of half of them; and it "
               "generalises a little better.",
               "С прореживанием (dropout) нейроны не полагаются друг на друга: сеть выдерживает потерю половины из них "
               "и немного лучше обобщает."),
    question=Text("Half of the hidden units are removed: how many points of accuracy does dropout save?",
                  "Половина скрытых нейронов удалена: сколько процентных пунктов точности сохранит прореживание?"),
    setup={"n": 300, "layers": Text("64-256-256-10 (half of the epochs) and 64-256-10",
                                    "64-256-256-10 (половина эпох) и 64-256-10"),
           "p": 0.5, "p_input": 0.2, "epochs": 60, "lr": 0.05, "lr_two_hidden": 0.02},
    trial=trial,
    control=control,
    checks=[
        Check("co-adaptation", Text("test accuracy without half of the units, with dropout minus without",
                                    "точность на тесте без половины нейронов, с прореживанием минус без"),
              "dropout half - plain half", above=10, unit=Text("points", "п. п.")),
        Check("likelihood", Text("negative log-likelihood on the test, without dropout minus with it",
                                 "отрицательное логарифмическое правдоподобие на тесте, без прореживания минус с ним"),
              "plain NLL - dropout NLL", above=0.02),
        Check("gain", Text("test accuracy, with dropout minus without", "точность на тесте, с прореживанием минус без"),
              "dropout - plain", above=0.3, unit=Text("points", "п. п.")),
        Check("rescaled", Text("mean of training passes against prediction, in standard errors",
                               "среднее проходов обучения против предсказания, в стандартных ошибках"), "away",
              below=4.5, every=True),
        Check("fresh", Text("values that differ between two training passes",
                            "значения, различные в двух проходах обучения"), "fresh", above=1, every=True),
        Check("gradient", Text("the worst error of a gradient", "наибольшая ошибка градиента"), "gradient", below=1e-6,
              every=True),
        Check("two layers", Text("gain in the network with two hidden layers",
                                 "выигрыш в сети с двумя скрытыми слоями"), "dropout whole - plain whole",
              unit=Text("points", "п. п."), role="limit"),
    ],
    unequal=["gradient"],
    mutations={
        "no-rescale": Mutation(Text("values that remain are not multiplied by 1/(1 − p)",
                                    "оставшиеся значения не умножаются на 1/(1 − p)"), "rescaled"),
        "same-mask": Mutation(Text("every step has the same mask", "маска одна и та же на каждом шаге"), "fresh"),
        "mask-left-out": Mutation(Text("the mask is missing on the way back", "на обратном пути нет маски"),
                                  "gradient"),
        "left-out": Mutation(Text("p is 0", "p равно 0"), "co-adaptation"),
    },
    picture=arms({"plain whole": Text("without", "без"), "dropout whole": Text("dropout", "с прореживанием"),
                  "plain half": Text("without,\nhalf removed", "без,\nполовина"),
                  "dropout half": Text("dropout,\nhalf removed", "с ним,\nполовина")},
                 y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds: about equal for whole networks; with half of the units removed the network "
             "without dropout falls far below the one with it.",
             "Точность на тесте во всех запусках: у целых сетей почти равна; без половины нейронов сеть без "
             "прореживания намного хуже."),
    limits=Text("The gain in accuracy is about a point, for several times the work until it has learnt.",
                "Выигрыш в точности около одного пункта, а обучение требует в несколько раз больше работы."),
    sources=["Srivastava et al. (2014)"],
)
