"""L1 as a choice of inputs: those that tell nothing get no weight at all."""

import numpy as np

from .. import Check, Data, Experiment, Mutation, Text, arms, distance


def with_noise(trial):
    """Digits with 64 more inputs that are normal noise."""
    data = trial.digits(trial.setup.n)
    x, x_test = (np.hstack([each, trial.random.normal(size=each.shape).astype(np.float32)])
                 for each in (data.x, data.x_test))
    trial.hash(x, x_test)
    return Data(x, data.t, x_test, data.t_test)


def train(trial, arm, data, penalty, **more):
    """Softmax regression with the whole data in each step, which finds the minimum."""
    s = trial.setup
    return trial.train(arm, [trial.nn.Linear(128, 10)], data, epochs=s.epochs, lr=s.lr, decay=False,
                       batch_size=len(data.x), penalty=penalty, **more)


def violation(model, data, loss, strength):
    """How far the weights are from the minimum, in units of λ: there ∂loss/∂w = −λ·sign(w), at w = 0 at most λ either
    way, and 0 for biases."""
    loss.forward(model.forward(data.x, training=True), data.t)
    model.backward(loss.backward())
    w, g = model.params["0.weight"], model.grads["0.weight"]
    away = np.where(w != 0, np.abs(g + strength * np.sign(w)), np.maximum(np.abs(g) - strength, 0)).max()
    return max(away, np.abs(model.grads["0.bias"]).max()) / strength


def trial(trial):
    nn, s, data = trial.nn, trial.setup, with_noise(trial)
    l1 = {"factor-two": nn.L1(2 * s.l1), "biases-too": nn.L1(s.l1, biases=True), "left-out": (),
          "subgradient": nn.L1(s.l1, mode="subgradient")}.get(trial.broken, nn.L1(s.l1))
    scale = np.repeat(np.float32([1, s.loud]), 64)
    loud, found = Data(data.x * scale, data.t, data.x_test * scale, data.t_test), {}
    for arm, penalty, rows in (("plain", (), data), ("l2", nn.L2(s.l2), data), ("l1", l1, data), ("loud", l1, loud)):
        trained = train(trial, arm, rows, penalty)
        size = np.abs(trained.model.params["0.weight"].astype(np.float64))
        found |= {arm: trained.accuracy(rows.x_test, rows.t_test), f"{arm} noise": size[64:].sum() / size.sum(),
                  f"{arm} dropped": (size[64:] == 0).all(axis=1).mean()}
        if arm == "l1":
            found["violation"] = violation(trained.model, data, nn.CrossEntropyLoss(), s.l1)
    return found


def control(trial):
    data = with_noise(trial)
    return distance(*(train(trial, "", data, each, steps=20).model for each in ((), trial.nn.L1(0.0))))


experiment = Experiment(
    name="l1_features",
    claim=Text("An L1 penalty chooses inputs: those that are only noise lose their weights, and the model becomes more "
               "accurate. L2 keeps them all.",
               "Штраф L1 отбирает признаки (feature selection): у чисто шумовых входов веса исчезают, и модель "
               "становится точнее. L2 сохраняет их все."),
    question=Text("Half of the inputs are noise: which share of Σ|w| do they have with L1, from 0 to 1?",
                  "Половина входов — шум: какую долю Σ|w| они получат с L1, от 0 до 1?"),
    setup={"n": 500, "inputs": Text("64 pixels and 64 of noise", "64 пикселя и 64 шумовых"), "layers": "128-10",
           "l1": 1e-2, "l2": 1e-1, "loud": 3.0, "epochs": 200, "lr": 0.3},
    trial=trial,
    control=control,
    checks=[
        Check("noise", Text("share of Σ|w| on the inputs that are noise, with L1", "доля Σ|w| на шумовых входах, с L1"),
              "l1 noise", below=0.1),
        Check("noise with L2", Text("the same with L2", "то же с L2"), "l2 noise", above=0.2),
        Check("dropped", Text("share of the noise inputs without any weight, with L1",
                              "доля шумовых входов, у которых веса только нулевые, с L1"), "l1 dropped", above=0.4),
        Check("gain", Text("test accuracy with L1 minus without", "точность на тесте с L1 минус без"), "l1 - plain",
              above=1, unit=Text("points", "п. п.")),
        Check("minimum", Text("how far the gradients are from those at the minimum, divided by λ",
                              "отличие градиентов от градиентов в минимуме, делённое на λ"), "violation", below=0.25,
              every=True),
        Check("scale", Text("noise inputs without any weight where the noise is 3 times as large",
                            "шумовых входов с одними нулями, если шум втрое больше"), "loud dropped", below=0.1,
              role="limit"),
    ],
    mutations={
        "factor-two": Mutation(Text("the threshold has 2λ in place of λ", "в пороге 2λ вместо λ"), "minimum"),
        "biases-too": Mutation(Text("biases are penalised, too", "штрафуются и смещения"), "minimum"),
        "subgradient": Mutation(Text("λ·sign(w) is added to the gradient instead of a proximal step",
                                     "λ·sign(w) добавлен к градиенту вместо проксимального шага"), "dropped"),
        "left-out": Mutation(Text("the penalty is left out", "штраф пропущен"), "noise"),
    },
    picture=arms({"plain noise": Text("without", "без штрафа"), "l2 noise": "L2", "l1 noise": "L1",
                  "loud noise": Text("L1,\nnoise × 3", "L1,\nшум × 3")},
                 y=Text("share of Σ|w| on noise", "доля Σ|w| на шуме")),
    alt=Text("The share of the weights that the noise inputs have: a third without a penalty, somewhat less with L2, "
             "next to nothing with L1, and more again where the noise is larger.",
             "Доля весов у шумовых входов: треть без штрафа, немного меньше с L2, почти ничего с L1 и снова больше, "
             "если шум сильнее."),
    limits=Text("L1 compares weights, so inputs must be of one scale: noise of three times the size is kept.",
                "L1 сравнивает веса, поэтому масштаб входов должен быть одинаков: втрое больший шум остаётся."),
    sources=["Tibshirani (1996)"],
)
