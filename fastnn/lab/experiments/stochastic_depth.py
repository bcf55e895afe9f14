"""Stochastic depth: in training whole residual blocks are left out, and their work is saved."""

import time

import numpy as np

from .. import Check, Experiment, Mutation, Text, curves, distance


def block(trial, layers, p):
    """A block that is left out with probability p, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken

    class ScaledBack(nn.CustomLayer):
        def forward_pass(self, x, training):
            return (1 - p) * x if training else x

        def backward_pass(self, dy):
            return (1 - p) * dy

    return nn.StochasticDepth(nn.Sequential(*layers, *([ScaledBack()] if broken == "no-rescale" else [])),
                              0.0 if broken == "left-out" else p, mode="row" if broken == "computed" else "batch")


def train(trial, arm, data, p_last, residual=False, **more):
    nn, s = trial.nn, trial.setup
    rates = nn.stochastic_depth_rates(s.blocks, p_last)
    pairs = [[nn.Linear(64, 64, activation="relu"), nn.Linear(64, 64, init="zeros")] for _ in rates]
    blocks = [nn.Residual(nn.Sequential(*pair)) if residual else block(trial, pair, p)
              for pair, p in zip(pairs, rates[::-1] if trial.broken == "reversed" else rates, strict=True)]
    return trial.train(arm, [*blocks, nn.Linear(64, 10)], data, epochs=s.epochs, lr=s.lr, **more)


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    found, seconds = {}, {}

    class Clock(nn.Callback):
        """Notes the CPU seconds at each epoch's end: what disturbs one epoch does not show in their median."""

        def on_train_begin(self, logs=None):
            self.times = [time.thread_time()]

        def on_epoch_end(self, epoch, logs=None):
            self.times.append(time.thread_time())

    for arm, p_last in (("plain", 0.0), ("depth", s.p_last)):
        trained = train(trial, arm, data, p_last, residual=arm == "plain", callbacks=[clock := Clock()])
        found[arm] = trained.accuracy(data.x_test, data.t_test)
        seconds[arm] = np.median(np.diff(clock.times))
    model, steps = trained.model, s.epochs * -(-s.n // 32) if trial.steps is None else trial.steps
    executed = [each.executed / steps for each in model.layers[:-1]]
    trial.curve("executed", executed)
    single = nn.Sequential(block(trial, [nn.Identity()], 0.4), seed=trial.seed, dtype="float64")    # 1 + m/(1 − p)
    passes = [single.forward(np.ones((1, 1)), training=True).item() for _ in range(256)]
    return found | {"executed": model.executed_blocks / steps, "first": executed[0], "last": executed[-1],
                    "ratio": seconds["depth"] / seconds["plain"],
                    "away": abs(np.mean(passes) - 2) / np.sqrt(0.4 / 0.6 / len(passes))}


def control(trial):
    data = trial.digits(96)
    return distance(*(train(trial, "", data, 0.0, residual, steps=20).model for residual in (True, False)))


experiment = Experiment(
    name="stochastic_depth",
    claim=Text("Stochastic depth trains a residual network with a quarter of its blocks left out, which saves their "
               "work and costs no accuracy.",
               "При случайной глубине (stochastic depth) четверть блоков остаточной сети (residual network) на каждом "
               "шаге пропускается: их вычисления экономятся, а точность не падает."),
    question=Text("The last of 24 blocks is left out in half of all steps, the others less often, along a line: how "
                  "many work in a step, on average?",
                  "Последний из 24 блоков пропускается в половине шагов, остальные реже, по линейному закону: сколько "
                  "блоков в среднем работает за шаг?"),
    setup={"n": 300, "layers": Text("24 residual blocks 64-64-64, then 64-10",
                                    "24 остаточных блока 64-64-64, затем 64-10"),
           "blocks": 24, "p_last": 0.5, "epochs": 12, "lr": 0.002},
    trial=trial,
    control=control,
    checks=[
        Check("executed", Text("blocks that work in a training step; 17.75 is expected",
                               "блоков работает за шаг обучения; ожидается 17,75"), "executed", above=17.2, below=18.3),
        Check("time", Text("CPU seconds of an epoch, with stochastic depth / without",
                           "секунды процессора на эпоху, со случайной глубиной / без"), "ratio", below=0.9),
        Check("rates", Text("share of steps in which the first block works, minus that of the last",
                            "доля шагов, в которых работает первый блок, минус то же для последнего"), "first - last",
              above=0.3),
        Check("rescaled", Text("mean of training passes against prediction, in standard errors",
                               "среднее проходов обучения против предсказания, в стандартных ошибках"), "away",
              below=4.5, every=True),
        Check("accuracy", Text("test accuracy, with stochastic depth minus without: no worse, and no better",
                               "точность на тесте, со случайной глубиной минус без: не хуже, но и не лучше"),
              "depth - plain", above=-1, below=1, unit=Text("points", "п. п."), role="limit"),
    ],
    unequal=["ratio"],
    mutations={
        "computed": Mutation(Text("a block is computed all the same, and then masked row by row",
                                  "блок всё равно вычисляется, а маска накладывается построчно"), "executed"),
        "left-out": Mutation(Text("all probabilities are 0", "все вероятности равны 0"), "executed"),
        "reversed": Mutation(Text("the first blocks are left out most often", "чаще всего пропускаются первые блоки"),
                             "rates"),
        "no-rescale": Mutation(Text("a block that works is not multiplied by 1/(1 − p)",
                                    "работающий блок не умножается на 1/(1 − p)"), "rescaled"),
    },
    picture=curves({"executed": Text("share of steps", "доля шагов")}, x=Text("block", "блок"),
                   y=Text("share of steps in which it works", "доля шагов, в которых он работает"), ylim=(0, 1.05)),
    alt=Text("The share of steps in which each of 24 blocks works: it falls along a line from nearly 1 to a half.",
             "Для каждого из 24 блоков доля шагов, в которых он работает: линейно убывает почти от 1 до половины."),
    limits=Text("On these digits it is no better, only cheaper. Without identity beside each block it would cut the "
                "network in two.",
                "На этих цифрах она не точнее, только дешевле. Без тождественной связи в обход блока сеть бы рвалась."),
    sources=["Huang et al. (2016)"],
)
