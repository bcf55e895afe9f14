"""L2: a penalty on large weights; smaller weights follow noise less."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def train(trial, arm, data, penalty=(), weight_decay=0.0, **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10)]
    return trial.train(arm, layers, data, epochs=s.epochs, lr=s.lr, penalty=penalty, **more,
                       optimizer=lambda lr: nn.SGD(lr=lr, momentum=0.9, weight_decay=weight_decay))


def trial(trial):
    nn, s = trial.nn, trial.setup
    wrong = {"factor-two": nn.L2(2 * s.strength), "biases-too": nn.L2(s.strength, biases=True)}
    penalty = () if trial.broken == "left-out" else wrong.get(trial.broken, nn.L2(s.strength))
    noisy, clean = trial.digits(s.n, wrong_labels=s.wrong_labels), trial.digits(s.n)
    x_noisy = noisy.x_test + s.noise * trial.random.normal(size=noisy.x_test.shape).astype(np.float32)
    found, rms = {}, {}
    for arm, more in (("plain", ()), ("l2", penalty)):
        model = train(trial, arm, noisy, more)
        rms[arm] = np.sqrt(np.mean(np.concatenate([v.ravel() for _, v, _, decays in model.model.parameters() if decays])
                                   .astype(np.float64) ** 2))
        found[arm] = model.accuracy(noisy.x_test, noisy.t_test)
        found[f"{arm} noisy"] = model.accuracy(x_noisy, noisy.t_test)
        found[f"{arm} clean"] = train(trial, f"{arm} clean", clean, more).accuracy(clean.x_test, clean.t_test)
    short = [train(trial, "", noisy, penalty, steps=20), train(trial, "", noisy, weight_decay=s.strength, steps=20)]
    return found | {"rms": rms["l2"] / rms["plain"], "decay": distance(*(each.model for each in short))}


def control(trial):
    data = trial.digits(64)
    return distance(*(train(trial, "", data, each, steps=20).model for each in ((), trial.nn.L2(0.0))))


experiment = Experiment(
    name="l2",
    claim=Text("An L2 penalty makes weights small, and a network with small weights robust against wrong labels and "
               "noisy inputs.",
               "Штраф L2 (L2 penalty) уменьшает веса, и сеть с малыми весами устойчивее к неверным меткам и "
               "зашумлённым входам."),
    question=Text("How many points of accuracy does it gain where 20 % of the labels are wrong?",
                  "Сколько процентных пунктов точности он добавит, если 20 % меток неверны?"),
    setup={"n": 300, "wrong_labels": 0.2, "layers": "64-128-10", "strength": 3e-2, "noise": 1.5, "epochs": 60,
           "lr": 0.05},
    trial=trial,
    control=control,
    checks=[
        Check("gain", Text("test accuracy with L2 minus without", "точность на тесте с L2 минус без"), "l2 - plain",
              above=4, unit=Text("points", "п. п.")),
        Check("noisy inputs", Text("the same on noisy inputs", "то же на зашумлённых входах"),
              "l2 noisy - plain noisy", above=12, unit=Text("points", "п. п.")),
        Check("size", Text("root mean square of the weights, with L2 / without",
                           "среднеквадратичный вес, с L2 / без"), "rms", above=0.25, below=0.33),
        Check("decay", Text("with SGD, L2 and weight decay give the same weights: difference",
                            "для SGD веса с L2 и с затуханием весов одинаковы: разница"), "decay", above=0, below=0,
              every=True),
        Check("clean", Text("gain on clean labels", "выигрыш на чистых метках"), "l2 clean - plain clean", below=2,
              unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "factor-two": Mutation(Text("the gradient is 2λw in place of λw", "градиент 2λw вместо λw"), "decay"),
        "biases-too": Mutation(Text("biases are penalised, too", "штрафуются и смещения"), "decay"),
        "left-out": Mutation(Text("the penalty is left out", "штраф пропущен"), "size"),
    },
    picture=arms({"plain": Text("without", "без L2"), "l2": "L2", "plain noisy": Text("without,\nnoisy x", "без,\nшум"),
                  "l2 noisy": Text("L2,\nnoisy x", "L2,\nшум")}, y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds without and with L2, on clean and on noisy inputs.",
             "Точность на тесте во всех запусках без L2 и с ним, на чистых и зашумлённых входах."),
    limits=Text("With clean labels it changes next to nothing.", "На чистых метках он почти ничего не меняет."),
    sources=["Krogh and Hertz (1991)"],
)
