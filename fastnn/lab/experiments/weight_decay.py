"""Weight decay and L2: one and the same for SGD, not for Adam."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def train(trial, arm, data, optimizer, penalty=(), lr=None, **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 64, activation="relu"), nn.Linear(64, 10)]
    return trial.train(arm, layers, data, epochs=s.epochs, lr=lr or s.lr, penalty=penalty, optimizer=optimizer,
                       **more).model


def apart(one, other):
    """‖difference of all weights‖ / ‖weights‖."""
    pairs = [(a.astype(np.float64), b) for (_, a, *_), (_, b, *_) in zip(one.parameters(), other.parameters(),
                                                                         strict=True)]
    return np.sqrt(sum(((a - b) ** 2).sum() for a, b in pairs) / sum((a**2).sum() for a, _ in pairs))


def trial(trial):
    nn, s = trial.nn, trial.setup
    data, decay, adam_decay = trial.digits(s.n), s.decay, s.adam_decay
    penalty = {"factor-two": nn.L2(2 * decay), "biases-too": nn.L2(decay, biases=True)}.get(trial.broken, nn.L2(decay))
    sgd = [train(trial, "SGD, decay", data, lambda lr: nn.SGD(lr=lr, momentum=0.9, weight_decay=decay)),
           train(trial, "SGD, L2", data, lambda lr: nn.SGD(lr=lr, momentum=0.9), penalty)]
    decoupled = nn.Adam if trial.broken == "coupled" else nn.AdamW
    adam = [train(trial, "Adam, L2", data, lambda lr: nn.Adam(lr=lr), nn.L2(adam_decay), s.adam_lr),
            train(trial, "AdamW", data, lambda lr: decoupled(lr=lr, weight_decay=adam_decay), lr=s.adam_lr)]
    return {"sgd": distance(*sgd), "adam": 100 * apart(*adam), "sgd apart": 100 * apart(*sgd),
            "Adam, L2": 100 * (adam[0].predict(data.x_test).argmax(1) == data.t_test).mean(),
            "AdamW": 100 * (adam[1].predict(data.x_test).argmax(1) == data.t_test).mean()}


def control(trial):
    """AdamW without decay is Adam."""
    nn, data = trial.nn, trial.digits(64)
    return distance(train(trial, "", data, lambda lr: nn.AdamW(lr=lr, weight_decay=0.0), steps=20),
                    train(trial, "", data, lambda lr: nn.Adam(lr=lr), nn.L2(0.0), steps=20))


experiment = Experiment(
    name="weight_decay",
    claim=Text("L2 and weight decay are the same for SGD; for Adam they are not.",
               "L2 и затухание весов (weight decay) для SGD совпадают, а для Adam различаются."),
    question=Text("By how many percent do the weights of Adam with L2 and of AdamW differ in the end?",
                  "На сколько процентов в конце различаются веса Adam с L2 и AdamW?"),
    setup={"n": 300, "layers": "64-64-10", "decay": 1e-2, "adam_decay": 1e-2, "epochs": 30, "lr": 0.05,
           "adam_lr": 2.5e-3},
    trial=trial,
    control=control,
    checks=[
        Check("adam", Text("‖difference‖ / ‖weights‖, Adam with L2 against AdamW",
                           "‖разность‖ / ‖веса‖, Adam с L2 против AdamW"), "adam", above=5, unit="%"),
        Check("sgd", Text("the largest difference, SGD with L2 against weight decay",
                          "наибольшая разность, SGD с L2 против затухания весов"), "sgd", above=0, below=0, every=True),
        Check("accuracy", Text("test accuracy, AdamW minus Adam with L2", "точность на тесте, AdamW минус Adam с L2"),
              "AdamW - Adam, L2", unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "factor-two": Mutation(Text("the penalty's gradient is 2λw", "градиент штрафа равен 2λw"), "sgd"),
        "biases-too": Mutation(Text("the penalty is on the biases, too", "штраф действует и на смещения"), "sgd"),
        "coupled": Mutation(Text("the decay is added to the gradient, as in Adam, in place of AdamW",
                                 "затухание добавлено к градиенту, как в Adam, вместо AdamW"), "adam"),
    },
    picture=arms({"sgd apart": "SGD", "adam": "Adam"}, y=Text("difference of the weights, %", "различие весов, %")),
    alt=Text("How far the weights are apart in the end: nothing for SGD, more than five percent for Adam.",
             "Различие весов в конце: ноль для SGD, более пяти процентов для Adam."),
    limits=Text("That they differ does not say which is better: on these digits the accuracy is about the same.",
                "Различие ещё не говорит, что лучше: на этих цифрах точность почти одинакова."),
    sources=["Loshchilov and Hutter (2019)"],
)
