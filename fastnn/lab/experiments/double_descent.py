"""Double descent: the test error is largest where the network can just fit its training data, and falls again beyond."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, curves


def solve(h, y, ridge=0.0):
    """The weights w (features, outputs) with the least ‖h w − y‖² + ridge·‖w‖²; without ridge, the smallest ones."""
    u, s, v = np.linalg.svd(h, full_matrices=False)
    s = np.where(s > 1e-10 * s[0], s, np.inf)
    return v.T @ ((s / (s**2 + ridge) if ridge else 1 / s)[:, None] * (u.T @ y))


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    y, errors, penalised, residual = np.eye(10)[data.t] - 0.1, [], [], 0.0
    for width in s.widths:
        layer = nn.Linear(64, width, activation=None if trial.broken == "linear" else "relu")
        model = trial.models[str(width)] = nn.Sequential(layer, seed=trial.seed, dtype=trial.dtype)     # never trained
        h, h_test = (model.predict(x).astype(np.float64) for x in (data.x, data.x_test))
        ridge = s.ridge * width                         # features are of about the same size at all widths
        weights, small = solve(h, y, ridge if trial.broken == "penalised" else 0), solve(h, y, ridge)
        inside = solve(h, h @ weights)                  # the part of the weights that the training data see
        if trial.broken == "any-solution":
            free = trial.random.normal(size=weights.shape)
            weights = weights + (free - solve(h, h @ free)) / width**0.5
        errors.append(100 * ((h_test @ weights).argmax(axis=1) != data.t_test).mean())
        penalised.append(100 * ((h_test @ small).argmax(axis=1) != data.t_test).mean())
        if width >= 2 * s.n:
            residual = max(residual, np.abs(h @ weights - y).max())
            unseen = np.linalg.norm(weights - inside) / np.linalg.norm(weights)
    trial.curve("error", errors)
    trial.curve("ridge", penalised)
    first, peak, last = errors[0], errors[s.widths.index(s.n)], errors[-1]
    return {"up": peak / first, "down": peak / last, "first": first, "last": last, "residual": residual,
            "unseen": unseen, "ridge": penalised[s.widths.index(s.n)] / penalised[0]}


experiment = Experiment(
    name="double_descent",
    claim=Text("As a network becomes wider, its test error rises until it can just fit all training examples, and "
               "beyond that it falls below where it began: double descent.",
               "С ростом ширины сети ошибка на тесте растёт, пока сеть не сможет в точности запомнить обучающие примеры, "
               "а затем падает ниже начальной: двойной спуск (double descent)."),
    question=Text("How many times larger than with 50 units is the test error with as many units as examples, 200?",
                  "Во сколько раз ошибка на тесте при 200 нейронах, по одному на пример, больше, чем при 50?"),
    setup={"n": 200, "layers": "64-width random ReLU, least squares to 10", "ridge": 0.02,
           "widths": (50, 100, 150, 200, 250, 400, 1000, 3000)},
    trial=trial,
    checks=[
        Check("up", Text("test error at width 200 / at width 50", "ошибка на тесте при ширине 200 / при ширине 50"), "up",
              above=2),
        Check("down", Text("test error at width 200 / at width 3000", "ошибка на тесте при ширине 200 / при ширине 3000"),
              "down", above=4),
        Check("below", Text("test error at width 50 minus at width 3000", "ошибка на тесте при ширине 50 минус при 3000"),
              "first - last", above=5, unit=Text("points", "п. п.")),
        Check("fits", Text("largest training residual at widths of 400 and more",
                           "наибольший остаток на обучении при ширине от 400"), "residual", below=1e-6, every=True),
        Check("smallest", Text("share of the weights that no training example sees, at width 3000",
                               "доля весов, не влияющая ни на один обучающий пример, при ширине 3000"), "unseen",
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
                   xticklabels=["50", "100", "150", "200", "250", "400", "1000", "3000"]),
    alt=Text("Test error against width: a high peak at 200, the number of training examples, and the smallest errors at "
             "3000; with a penalty it falls all the way.",
             "Ошибка на тесте в зависимости от ширины: высокий пик при 200, по числу обучающих примеров, и наименьшая "
             "ошибка при 3000; со штрафом она всё время падает."),
    limits=Text("With a suitable L2 penalty there is no peak: each wider network is better than the one before.",
                "С подходящим штрафом L2 пика нет: чем шире сеть, тем она лучше."),
    sources=["Belkin et al. (2019)", "Nakkiran et al. (2021)"],
)
