"""Backpropagation: the gradient of every weight in one pass backward; gradcheck compares it with differences."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms


def rows_of(trial):
    """Layers of every kind, as small models: name → (layers, shape of x)."""
    nn = trial.nn

    class NoSlope(nn.CustomActivation):
        def act(self, u):
            return np.tanh(u)

        def act_backward(self, dy, u, y):
            return dy

    class MaskForgotten(nn.CustomLayer):
        def forward_pass(self, x, training):
            keep = self.random_words(x.size).reshape(x.shape) < 2**31
            return 2 * x * keep if training else x

        def backward_pass(self, dy):
            return 2 * dy

    class MeanForSum(nn.CustomLayer):
        def __init__(self):
            self.add("bias", (5,), "zeros")

        def forward_pass(self, x, training):
            return x + self.values["bias"]

        def backward_pass(self, dy):
            self.set_gradients(dy.mean(axis=0))
            return dy

    wrong = {"slope-left-out": NoSlope, "mask-left-out": MaskForgotten, "mean-for-sum": MeanForSum}.get(trial.broken)
    hidden = {"tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "gelu": nn.GELU(), "dropout": nn.Dropout(0.3),
              "batch norm": nn.BatchNorm1d(5), "layer norm": nn.LayerNorm(5), "dropconnect": nn.DropConnect(5, 5),
              "residual": nn.Residual(nn.Linear(5, 5, activation="tanh"))} | ({"wrong": wrong()} if wrong else {})
    found = {name: ([nn.Linear(4, 5), layer, nn.Linear(5, 3)], (6, 4)) for name, layer in hidden.items()}
    found["convolution"] = [nn.Conv2d(2, 3, 3, padding=1, activation="tanh"), nn.AvgPool2d(2), nn.Flatten(),
                            nn.Linear(12, 3)], (6, 2, 4, 4)
    return found


def trial(trial):
    nn, loss, t = trial.nn, trial.nn.CrossEntropyLoss(), np.arange(6) % 3
    worst, moved = 0.0, 0.0
    for name, (layers, shape) in rows_of(trial).items():
        x = trial.random.normal(size=shape)
        model = nn.Sequential(*layers, seed=trial.seed, dtype="float64")
        trial.models[name] = model
        worst = max(worst, nn.gradcheck(model, x, t, loss, samples=12).worst)
        before = model.state_dict()
        loss.forward(model.forward(x, training=True), t)
        model.backward(loss.backward())
        moved = max(moved, *(np.abs(before[name] - value).max() for name, value in model.params.items()))
    single = nn.Sequential(nn.Linear(4, 5, activation="tanh"), nn.Linear(5, 3), seed=trial.seed, dtype="float32")
    x, weight, step = trial.random.normal(size=(6, 4)).astype(np.float32), single.layers[0].weight, 1e-5
    loss.forward(single.forward(x, training=True), t)
    single.backward(loss.backward())
    value, ends = float(weight[0, 0]), []
    for shifted in (value + step, value - step):
        weight[0, 0] = shifted
        ends.append(loss.forward(single.predict(x), t))
    right = single.grads["0.weight"]
    coarse = abs((ends[0] - ends[1]) / (2 * step) - right[0, 0]) / np.abs(right).max()
    return {"worst": worst, "log worst": np.log10(max(worst, 1e-17)), "moved": moved,
            "log float32": np.log10(max(coarse, 1e-17))}


experiment = Experiment(
    name="backpropagation",
    claim=Text("Backpropagation computes the exact gradients of the loss, through every layer. It computes them only: "
               "the optimizer changes the weights.",
               "Обратное распространение ошибки (backpropagation) вычисляет точные градиенты функции потерь через "
               "любой слой. Оно их только вычисляет: веса меняет оптимизатор."),
    question=Text("How far is the worst gradient from a difference quotient, as a power of ten?",
                  "Насколько худший градиент отличается от разностного отношения: степень десяти?"),
    setup={"layers": Text("9 small networks, 6 examples", "9 маленьких сетей, 6 примеров"), "dtype": "float64",
           "difference": Text("central, step 6e-6", "центральная, шаг 6e-6")},
    trial=trial,
    checks=[
        Check("exact", Text("log₁₀ of the worst relative error of any gradient",
                            "log₁₀ наибольшей относительной ошибки градиента"), "log worst", below=-7),
        Check("gradcheck", Text("the worst relative error", "наибольшая относительная ошибка"), "worst", below=1e-6,
              every=True),
        Check("moved", Text("how far backward moves the weights", "насколько обратный проход сдвигает веса"), "moved",
              above=0, below=0, every=True),
        Check("float32", Text("log₁₀ of the error of a difference in float32", "log₁₀ ошибки разности в float32"),
              "log float32", above=-4, role="limit"),
    ],
    unequal=["worst", "log worst", "log float32"],
    mutations={
        "slope-left-out": Mutation(Text("the derivative of tanh is left out", "пропущена производная tanh"),
                                   "gradcheck"),
        "mask-left-out": Mutation(Text("dropout's mask is missing on the way back",
                                       "на обратном пути нет маски прореживания"), "gradcheck"),
        "mean-for-sum": Mutation(Text("the bias gets the mean over the batch instead of the sum",
                                      "смещение получает среднее по пакету вместо суммы"), "gradcheck"),
    },
    picture=arms({"log worst": Text("backpropagation, float64", "float64"),
                  "log float32": Text("difference, float32", "разность, float32")},
                 y=Text("log₁₀ of the error", "log₁₀ ошибки")),
    alt=Text("The errors of all seeds: near ten to the minus nine in float64; differences in float32 are useless.",
             "Ошибки всех запусков: около десяти в минус девятой для float64; разности в float32 бесполезны."),
    limits=Text("A difference quotient is no witness in float32, nor at a corner such as that of ReLU at 0.",
                "Разностное отношение ничего не доказывает в float32 и в точке излома, как у ReLU в нуле."),
    sources=["Rumelhart, Hinton and Williams (1986)"],
)
