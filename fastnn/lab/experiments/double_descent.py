"""Double descent: the test error is largest where the network can just fit its training data, and falls beyond."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, curves


def fit(trial, h, y, ridge):
    """Weights of least squares, the smallest such; those with the penalty; how much of the first h does not see."""
    u, s, v = np.linalg.svd(h, full_matrices=False)
    kept = s > 1e-10 * s[0]
    u, s, v = u[:, kept], s[kept, None], v[kept]
    plain, penalised = (v.T @ (s / (s**2 + each) * (u.T @ y)) for each in (0, ridge))
    if trial.broken == "any-solution":
        free = trial.random.normal(size=plain.shape)
        plain += (free - v.T @ (v @ free)) / len(free)**0.5
    if trial.broken == "penalised":
        plain = penalised
    return plain, penalised, np.linalg.norm(plain - v.T @ (v @ plain)) / np.linalg.norm(plain)


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    y, errors, penalised, residual, unseen = np.eye(10)[data.t] - 0.1, [], [], 0.0, 0.0
    for width in s.widths:
        layer = nn.Linear(64, width, activation=None if trial.broken == "linear" else "relu")
        model = trial.models[str(width)] = nn.Sequential(layer, seed=trial.seed, dtype="float64")       # never trained
        h = model.predict(data.x)
        plain, small, rest = fit(trial, h, y, s.ridge * width)      # features are of about the same size at all widths
        # In parts, as the features of all test digits would take new memory at each width, which costs more than they.
        outputs = np.concatenate([model.predict(x) @ np.hstack([plain, small]) for x in np.array_split(data.x_test, 3)])
        for found, each in ((errors, outputs[:, :10]), (penalised, outputs[:, 10:])):
            found.append(100 * (each.argmax(axis=1) != data.t_test).mean())
        if width >= 2 * s.n:
            residual, unseen = max(residual, np.abs(h @ plain - y).max()), max(unseen, rest)
    trial.curve("error", errors)
    trial.curve("ridge", penalised)
    first, peak, last = errors[0], errors[s.widths.index(s.n)], errors[-1]
    return {"up": peak / first, "down": peak / last, "first": first, "last": last, "residual": residual,
            "unseen": unseen, "ridge": penalised[s.widths.index(s.n)] / penalised[0]}


experiment = Experiment(
    name="double_descent",
    claim=Text("As a network becomes wider, its test error falls, then rises to a peak where the network can just fit "
               "all training examples, and beyond that falls again, lower than before: double descent.",
               "С ростом ширины сети ошибка на тесте падает, затем растёт до пика там, где сеть едва может запомнить "
               "все обучающие примеры, а дальше снова падает, ниже прежнего: двойной спуск (double descent)."),
    question=Text("How many times larger than with 50 units is the test error with as many units as examples, 200?",
                  "Во сколько раз ошибка на тесте при 200 нейронах, по одному на пример, больше, чем при 50?"),
    setup={"n": 200, "layers": Text("64-width random ReLU, least squares to 10",
                                    "64-ширина, случайные, с ReLU; к 10 выходам — наименьшие квадраты"), "ridge": 0.02,
           "widths": (50, 100, 150, 200, 250, 400, 1000, 2000)},
    trial=trial,
    checks=[
        Check("up", Text("test error at width 200 / at width 50", "ошибка на тесте при ширине 200 / при ширине 50"),
              "up", above=2),
        Check("down", Text("test error at width 200 / at width 2000",
                           "ошибка на тесте при ширине 200 / при ширине 2000"), "down", above=4),
        Check("below", Text("test error at width 50 minus at width 2000",
                            "ошибка на тесте при ширине 50 минус при 2000"), "first - last", above=5,
              unit=Text("points", "п. п.")),
        Check("fits", Text("largest training residual at widths of 400 and more",
                           "наибольшая невязка на обучении при ширине от 400"), "residual", below=1e-6, every=True),
        Check("smallest", Text("share of the weights that no training example sees, at widths of 400 and more",
                               "доля весов, не влияющая ни на один обучающий пример, при ширине от 400"), "unseen",
              below=1e-6, every=True),
        Check("ridge", Text("the first ratio with an L2 penalty", "первое отношение при штрафе L2"), "ridge", below=1,
              role="limit"),
    ],
    unequal=["residual", "unseen"],
    mutations={
        "any-solution": Mutation(Text("weights fit the data, but are not the smallest ones that do",
                                      "веса точно подходят к данным, но не наименьшие из таких"), "smallest"),
        "linear": Mutation(Text("ReLU is left out", "ReLU пропущена"), "fits"),
        "penalised": Mutation(Text("an L2 penalty was left switched on", "остался включён штраф L2"), "up"),
    },
    picture=curves({"error": Text("least squares", "наименьшие квадраты"),
                    "ridge": Text("with an L2 penalty", "со штрафом L2")},
                   x=Text("width", "ширина"), y=Text("test error, %", "ошибка на тесте, %"), xticks=range(1, 9),
                   xticklabels=["50", "100", "150", "200", "250", "400", "1000", "2000"]),
    alt=Text("Test error against width: a high peak at 200, the number of training examples, and the smallest errors "
             "at 2000; with a penalty it falls all the way.",
             "Ошибка на тесте в зависимости от ширины: высокий пик при 200, по числу обучающих примеров, и "
             "наименьшая ошибка при 2000; со штрафом она всё время падает."),
    limits=Text("With a suitable L2 penalty there is no peak: each wider network is better than the one before.",
                "С подходящим штрафом L2 пика нет: чем шире сеть, тем она лучше."),
    sources=["Belkin et al. (2019)", "Nakkiran et al. (2021)"],
)
