"""L1: a penalty that makes most weights exactly 0, if its step is the proximal one."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def train(trial, arm, data, penalty, **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 64, activation="relu"), nn.Linear(64, 10)]
    return trial.train(arm, layers, data, epochs=s.epochs, lr=s.lr, penalty=penalty, **more)


def weights_of(model):
    return [value for _, value, _, decays in model.parameters() if decays]


def cost_of_pruning(trained, data, share):
    """How many points of accuracy are lost with the smallest weights, a share of all."""
    model = trained.model
    before, whole = model.state_dict(), trained.accuracy(data.x_test, data.t_test)
    limit = np.quantile(np.concatenate([np.abs(each).ravel() for each in weights_of(model)]), share)
    for each in weights_of(model):
        each[np.abs(each) <= limit] = 0
    pruned = trained.accuracy(data.x_test, data.t_test)
    model.load_state_dict(before)
    return whole - pruned


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    l1 = {"subgradient": nn.L1(s.l1, mode="subgradient"), "momentum-forgotten": nn.L1(0.1 * s.l1), "left-out": (),
          }.get(trial.broken, nn.L1(s.l1))
    found = {}
    for arm, penalty in (("plain", ()), ("l2", nn.L2(s.l2)), ("l1", l1), ("sub", nn.L1(s.l1, mode="subgradient"))):
        trained = train(trial, arm, data, penalty)
        size = np.abs(np.concatenate([each.ravel() for each in weights_of(trained.model)]))
        found |= {arm: trained.accuracy(data.x_test, data.t_test), f"{arm} zero": (size == 0).mean(),
                  f"{arm} small": (size < 1e-3).mean(), f"{arm} cost": cost_of_pruning(trained, data, s.pruned)}
    return found


def control(trial):
    data = trial.digits(96)
    return distance(*(train(trial, "", data, each, steps=20).model for each in ((), trial.nn.L1(0.0))))


experiment = Experiment(
    name="l1_sparsity",
    claim=Text("With an L1 penalty most weights become exactly 0, and four fifths of them can be removed for nothing. "
               "The zeros come from the proximal step; the subgradient makes none.",
               "Со штрафом L1 (L1 penalty) большинство весов становится точно нулём, и четыре пятых весов можно "
               "удалить без потерь. Нули даёт проксимальный шаг (proximal step), но не субградиент (subgradient)."),
    question=Text("Which share of the weights is exactly 0 in the end, from 0 to 1?",
                  "Какая доля весов в конце равна точно нулю, от 0 до 1?"),
    setup={"n": 800, "layers": "64-64-10", "l1": 1e-3, "l2": 1e-2, "pruned": 0.8, "epochs": 60, "lr": 0.05},
    trial=trial,
    control=control,
    checks=[
        Check("zeros", Text("share of the weights that are exactly 0 with L1", "доля весов, точно равных нулю, с L1"),
              "l1 zero", above=0.5),
        Check("small", Text("share of weights below 0.001, L1 minus L2", "доля весов меньше 0,001, с L1 минус с L2"),
              "l1 small - l2 small", above=0.6),
        Check("pruning", Text("points lost with the smallest 80 % of the weights, with L1",
                              "потеря точности без 80 % наименьших весов, с L1"), "l1 cost", below=0.5,
              unit=Text("points", "п. п.")),
        Check("pruning without", Text("the same, without a penalty", "то же без штрафа"), "plain cost", above=3,
              unit=Text("points", "п. п.")),
        Check("subgradient", Text("share of exact zeros with the subgradient λ·sign(w)",
                                  "доля точных нулей с субградиентом λ·sign(w)"), "sub zero", below=0.001, every=True,
              role="limit"),
        Check("accuracy", Text("test accuracy, with L1 minus without", "точность на тесте, с L1 минус без"),
              "l1 - plain", below=0.5, unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "subgradient": Mutation(Text("λ·sign(w) is added to the gradient instead of a proximal step",
                                     "λ·sign(w) добавлен к градиенту вместо проксимального шага"), "zeros"),
        "momentum-forgotten": Mutation(
            Text("the threshold is λ·lr, where momentum 0.9 makes steps ten times as long",
                 "порог равен λ·lr, хотя с моментом 0,9 шаги в десять раз длиннее"), "zeros"),
        "left-out": Mutation(Text("the penalty is left out", "штраф пропущен"), "zeros"),
    },
    picture=arms({"plain cost": Text("without", "без штрафа"), "l2 cost": "L2", "l1 cost": "L1"},
                 y=Text("points lost by pruning 80 %", "потеря от удаления 80 %, п. п.")),
    alt=Text("Points of accuracy that are lost with the smallest four fifths of the weights: about six without a "
             "penalty, two with L2, none with L1.", "Потеря точности без четырёх пятых наименьших весов: около шести "
             "пунктов без штрафа, двух с L2, ни одного с L1."),
    limits=Text("Accuracy does not rise, and zeros that are scattered over a dense matrix save no time by themselves.",
                "Точность не растёт, а нули, разбросанные по плотной матрице, сами по себе время не экономят."),
    sources=["Tibshirani (1996)", "Parikh and Boyd (2014)"],
)
