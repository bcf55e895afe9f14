"""Batch normalization: fewer steps to the same accuracy."""

import itertools

import numpy as np

from fastnn_ref.shared.callbacks import Callback

from .. import Check, Experiment, Mutation, Text, arms
from .batchnorm_initialisation import norm


class Reach(Callback):
    """Ends training at the step after which 90 % of the validation examples are right, or after ``limit`` steps."""

    def __init__(self, data, limit, late):
        self.data, self.late, self.steps = data, late, limit

    def on_train_batch_end(self, batch, logs=None):
        step, data = self.optimizer.steps, self.data
        look = step < self.steps and (step <= 50 or step % 10 == 0)     # later on, a look costs more than a step
        if look and (self.model.predict(data.x_validation).argmax(axis=1) == data.t_validation).mean() >= 0.9:
            self.steps = step
        self.model.stop_training = step >= self.steps and not self.late

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = self.optimizer.steps >= self.steps


def behind_linear(trial, normalised):
    """What stands between a Linear layer and its activation."""
    if not normalised or trial.broken == "left-out":
        return []
    return [trial.nn.LayerNorm(64) if trial.broken == "wrong-axis" else norm(trial, 64)]


def trial(trial):
    nn, s = trial.nn, trial.setup
    data, found, after = trial.digits(s.n, validation=s.validation), {}, 0
    for activation, normalised in itertools.product((nn.Sigmoid, nn.ReLU), (False, True)):
        arm, best = activation.__name__ + " norm" * normalised, s.limit
        for lr in s.rates:                          # each has to get there before the best one so far
            layers = [[nn.Linear(inputs, 64), *behind_linear(trial, normalised), activation()]
                      for inputs in (64, 64, 64)]
            reach = Reach(data, best, trial.broken == "late")
            trial.train(arm, [*itertools.chain(*layers), nn.Linear(64, 10)], data, epochs=s.epochs, lr=lr, momentum=0,
                        decay=False, callbacks=[reach])
            best, after = reach.steps, max(after, reach.optimizer.steps - reach.steps)
        found[arm] = best
    x = trial.random.normal(3, 2, (50, 8))
    model = nn.Sequential(nn.Linear(8, 64), *behind_linear(trial, True), seed=trial.seed, dtype="float64")
    y = model.forward(x, training=True)
    check = nn.gradcheck(model, x, np.arange(50), nn.CrossEntropyLoss(), samples=20)
    return found | {"after": after, "away": max(abs(y.mean(axis=0)).max(), abs(y.std(axis=0) - 1).max()),
                    "gradient": check.worst, "times": found["Sigmoid"] / found["Sigmoid norm"],
                    "times, ReLU": found["ReLU"] / found["ReLU norm"]}


experiment = Experiment(
    name="batchnorm_speed",
    claim=Text("With batch normalization a deep sigmoid network needs many times fewer steps to the same accuracy, "
               "each network at its own best learning rate.",
               "С пакетной нормализацией (batch normalization) глубокой сети с сигмоидами нужно в несколько раз меньше "
               "шагов до той же точности, если у каждой сети своя лучшая скорость обучения."),
    question=Text("How many times fewer steps does it take until 90 % of the validation digits are right?",
                  "Во сколько раз меньше шагов уйдёт на точность 90 % на валидации?"),
    setup={"n": 1000, "validation": 198, "layers": "64-3x64-10", "rates": (1, 3, 0.3), "limit": 600, "epochs": 20},
    trial=trial,
    checks=[
        Check("speed", Text("steps to 90 %, without normalization / with it",
                            "шаги до 90 %, без нормализации / с ней"), "times", above=4),
        Check("steps", Text("steps to 90 % with normalization", "шаги до 90 % с нормализацией"), "Sigmoid norm",
              below=60),
        Check("standardised", Text("training pass: how far each unit's mean is from 0, and deviation from 1",
                                   "проход обучения: отличие среднего каждого нейрона от 0 и отклонения от 1"), "away",
              below=1e-3, every=True),
        Check("gradient", Text("the worst error of a gradient", "наибольшая ошибка градиента"), "gradient", below=1e-6,
              every=True),
        Check("stops", Text("steps that a training takes after it has got there",
                            "шаги, сделанные после достижения точности"), "after", above=0, below=0, every=True),
        Check("ReLU", Text("the first ratio for ReLU and He's initial weights",
                           "первое отношение для ReLU и начальных весов Хе"), "times, ReLU", below=6, role="limit"),
    ],
    unequal=["away", "gradient"],
    mutations={
        "wrong-axis": Mutation(Text("it normalises each row, not each unit over the batch",
                                    "нормируется каждая строка, а не каждый нейрон по пакету"), "standardised"),
        "constant-statistics": Mutation(Text("backward treats mean and variance as constants",
                                             "на обратном пути среднее и дисперсия считаются постоянными"), "gradient"),
        "late": Mutation(Text("training ends after the epoch, not at the step",
                              "обучение кончается после эпохи, а не на этом шаге"), "stops"),
        "left-out": Mutation(Text("the layers are left out", "слои пропущены"), "speed"),
    },
    picture=arms({"Sigmoid": Text("sigmoid", "сигмоида"),
                  "Sigmoid norm": Text("sigmoid,\nnormalised", "сигмоида,\nнорм."),
                  "ReLU": "ReLU", "ReLU norm": Text("ReLU,\nnormalised", "ReLU,\nнорм.")},
                 y=Text("steps to 90 %", "шаги до 90 %"), yscale="log"),
    alt=Text("Steps until 90 % of the validation digits are right, of all seeds: hundreds with sigmoids, some 30 with "
             "normalised ones; with ReLU the difference is far smaller.",
             "Шаги до точности 90 % на валидации во всех запусках: с сигмоидами сотни, с нормализацией около 30; с "
             "ReLU разница намного меньше."),
    limits=Text("With ReLU and initial weights of the right size there is less left to gain; and each step costs more.",
                "При ReLU и начальных весах верного масштаба выигрыш меньше; к тому же каждый шаг дороже."),
    sources=["Ioffe and Szegedy (2015)"],
)
