"""Label smoothing: the target is not quite certain, and so is the network."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance


def softmax(y):
    y = np.exp(y - y.max(axis=1, keepdims=True))
    return y / y.sum(axis=1, keepdims=True)


def train(trial, arm, data, loss, **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 128, activation="relu"), nn.Linear(128, 128, activation="relu"), nn.Linear(128, 10)]
    return trial.train(arm, layers, data, epochs=s.epochs, lr=s.lr, loss=loss, **more)


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)

    class NoDistribution(nn.CustomLoss):
        """1 − ε for the class, ε for each other one: it sums to more than 1."""

        def prepare_targets(self, t, shape, dtype):
            return np.where(np.arange(shape[1]) == np.asarray(t)[:, None], 1 - s.epsilon, s.epsilon).astype(dtype)

        def value_and_gradient(self, y, t, weights):
            p = softmax(y.astype(np.float64))
            return float(-(t * np.log(p + 1e-30)).sum(axis=1).mean()), (p - t) / len(y)

    smooth = {"no-distribution": NoDistribution(), "left-out": nn.CrossEntropyLoss()}.get(
        trial.broken, nn.CrossEntropyLoss(label_smoothing=s.epsilon))
    found = {}
    for arm, loss in (("plain", nn.CrossEntropyLoss()), ("smooth", smooth)):
        trained = train(trial, arm, data, loss)
        p = trained.probabilities(data.x_test)
        found[f"{arm} sure"] = (p.max(axis=1) > 0.99).mean()
        found[f"{arm} calibration"] = nn.metrics.expected_calibration_error(np.log(p + 1e-30), data.t_test)
        found[arm] = trained.accuracy(data.x_test, data.t_test)
    sum_of_gradients = abs(trained.model.grads["2.bias"].sum())         # over the outputs: 0 for a distribution
    return found | {"sum": sum_of_gradients}


def control(trial):
    nn, data = trial.nn, trial.digits(96)
    return distance(*(train(trial, "", data, each, steps=20).model
                      for each in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.0))))


experiment = Experiment(
    name="label_smoothing",
    claim=Text("Label smoothing keeps a network from being too sure of itself. It is (1 − ε)·target + ε/K for all K "
               "classes: 0.9 and 0.1 for each other class is no distribution.",
               "Сглаживание меток (label smoothing) не даёт сети быть слишком уверенной. Правильный ответ становится "
               "(1 − ε)·t + ε/K для всех K классов: 0,9 и по 0,1 на каждый другой класс — не распределение."),
    question=Text("By how much does the share of test digits with a probability above 0.99 fall, from 0 to 1?",
                  "На сколько уменьшится доля тестовых цифр с вероятностью больше 0,99, от 0 до 1?"),
    setup={"n": 300, "layers": "64-128-128-10", "epsilon": 0.1, "epochs": 40, "lr": 0.05},
    trial=trial,
    control=control,
    checks=[
        Check("less sure", Text("share of p > 0.99, without smoothing minus with it",
                                "доля p > 0,99, без сглаживания минус с ним"), "plain sure - smooth sure", above=0.5),
        Check("sure", Text("share of p > 0.99 with smoothing", "доля p > 0,99 со сглаживанием"), "smooth sure",
              below=0.02),
        Check("distribution", Text("sum of the gradient over all outputs", "сумма градиента по всем выходам"), "sum",
              below=1e-5, every=True),
        Check("calibration", Text("calibration error, with smoothing minus without",
                                  "ошибка калибровки, со сглаживанием минус без"),
              "smooth calibration - plain calibration", above=0.05, role="limit"),
        Check("accuracy", Text("test accuracy, with smoothing minus without",
                               "точность на тесте, со сглаживанием минус без"), "smooth - plain",
              unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "no-distribution": Mutation(Text("1 − ε for the class and ε for each other one",
                                         "1 − ε для класса и ε для каждого другого"), "distribution"),
        "left-out": Mutation(Text("ε is not passed on", "ε не передаётся"), "sure"),
    },
    picture=arms({"plain sure": Text("without", "без"), "smooth sure": Text("smoothed", "со сглаживанием")},
                 y=Text("share of p > 0.99", "доля p > 0,99")),
    alt=Text("The share of test digits with a probability above 0.99: about four fifths without, next to none with it.",
             "Доля тестовых цифр с вероятностью больше 0,99: без сглаживания около четырёх пятых, с ним почти ноль."),
    limits=Text("ε = 0.1 makes probabilities too small here: the calibration error grows.",
                "Здесь ε = 0,1 делает вероятности слишком малыми: ошибка калибровки растёт."),
    sources=["Szegedy et al. (2016)", "Müller, Kornblith and Hinton (2019)"],
)
