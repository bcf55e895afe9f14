"""Weight sharing: a convolution has one small kernel for all places of an image."""

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms
from ..trial import Data
from .augmentation_images import shifted


def convolution(trial):
    """Conv2d; or in NumPy, with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken
    if broken not in ("one-place", "not-shared"):
        return nn.Conv2d(1, 12, 3, padding=1, init="he_uniform")
    w = "hwocij" if broken == "not-shared" else "ocij"

    class Wrong(nn.CustomLayer):
        def __init__(self):
            self.add("weight", ((8, 8) if broken == "not-shared" else ()) + (12, 1, 3, 3), nn.init.Init("normal", 0.4))
            self.add("bias", (12,), "zeros")

        def output_shape(self, shape):
            return 12, 8, 8

        def forward_pass(self, x, training):
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            self.saved = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            return np.einsum(f"nchwij,{w}->nohw", self.saved, self.values["weight"]) + \
                self.values["bias"][:, None, None]

        def backward_pass(self, dy):
            dx = np.zeros((len(dy), 1, 10, 10), dy.dtype)
            parts = np.einsum(f"nohw,{w}->nchwij", dy, self.values["weight"])
            for i, j in np.ndindex(3, 3):
                dx[:, :, i:i + 8, j:j + 8] += parts[..., i, j]
            seen = dy * (np.arange(64).reshape(8, 8) == 36) if broken == "one-place" else dy
            self.set_gradients(np.einsum(f"nohw,nchwij->{w}", seen, self.saved), dy.sum(axis=(0, 2, 3)))
            return dx[:, :, 1:-1, 1:-1]

    return Wrong()


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    x_shifted, found = shifted(trial, data.x_test), {}
    order = trial.random.permutation(64)
    for kind, places in (("", np.arange(64)), (" permuted", order)):
        for arm, shape in (("dense", (-1, 64)), ("conv", (-1, 1, 8, 8))):
            layers = [nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10)] if arm == "dense" else \
                [convolution(trial), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 10)]
            x, x_test, x_moved = (np.ascontiguousarray(each[:, places]).reshape(shape)
                                  for each in (data.x, data.x_test, x_shifted))
            trained = trial.train(arm + kind, layers, Data(x, data.t, x_test, data.t_test), epochs=s.epochs, lr=s.lr)
            found[arm + kind] = trained.accuracy(x_test, data.t_test)
            found[f"{arm}{kind} shifted"] = trained.accuracy(x_moved, data.t_test)
            found[f"{arm} parameters"] = sum(value.size for _, value, *_ in trained.model.parameters())
    x = trial.random.normal(size=(5, 1, 8, 8))
    model = nn.Sequential(convolution(trial), seed=trial.seed, dtype="float64")
    y, moved = model.predict(x), model.predict(np.roll(x, 1, axis=3))
    small = nn.Sequential(convolution(trial), nn.Flatten(), nn.Linear(768, 3), seed=trial.seed, dtype="float64")
    check = nn.gradcheck(small, x, np.arange(5) % 3, nn.CrossEntropyLoss(), samples=20)
    return found | {"gradient": check.worst, "equivariance": np.abs(moved[..., 2:-1] - y[..., 1:-2]).max()}


experiment = Experiment(
    name="weight_sharing",
    claim=Text("A convolution has far fewer parameters than a dense layer, for its kernel is the same at all places; "
               "it is as good on digits, and better on digits that have moved.",
               "У свёртки (convolution) намного меньше параметров, чем у полносвязного слоя: веса ядра общие для всех "
               "мест (weight sharing). На цифрах она не хуже, а на сдвинутых цифрах лучше."),
    question=Text("How many points better than a dense network is it on digits moved by up to a pixel?",
                  "На сколько процентных пунктов она точнее полносвязной сети на цифрах, сдвинутых не более чем на "
                  "пиксель?"),
    setup={"n": 300, "layers": Text("conv 12 3x3, pool 2, 192-10; 64-128-10",
                                    "свёртка 12 3x3, подвыборка 2, 192-10; 64-128-10"), "epochs": 20, "lr": 0.05},
    trial=trial,
    checks=[
        Check("shifted", Text("test accuracy on moved digits, convolution minus dense",
                              "точность на сдвинутых цифрах, свёртка минус полносвязная сеть"),
              "conv shifted - dense shifted", above=6, unit=Text("points", "п. п.")),
        Check("gain", Text("test accuracy, convolution minus dense",
                           "точность на тесте, свёртка минус полносвязная сеть"), "conv - dense", above=-1,
              unit=Text("points", "п. п.")),
        Check("parameters", Text("parameters of the network with the convolution",
                                 "параметры сети со свёрткой"), "conv parameters", above=2050, below=2050, every=True),
        Check("dense parameters", Text("parameters of the dense network", "параметры полносвязной сети"),
              "dense parameters", above=9610, below=9610, every=True),
        Check("equivariance", Text("the image moves by a pixel, and so do the outputs, away from the edges: difference",
                                   "изображение сдвинуто на пиксель, и выходы вдали от края тоже: разница"),
              "equivariance", below=1e-12, every=True),
        Check("gradient", Text("the worst error of a gradient", "наибольшая ошибка градиента"), "gradient", below=1e-6,
              every=True),
        Check("permuted", Text("test accuracy with all pixels in another order, convolution minus dense",
                               "точность на тесте при перестановке пикселей, свёртка минус полносвязная сеть"),
              "conv permuted - dense permuted", below=0, unit=Text("points", "п. п."), role="limit"),
    ],
    unequal=["gradient", "equivariance"],
    mutations={
        "one-place": Mutation(Text("the kernel's gradient comes from one place only, not from the sum over all",
                                   "градиент ядра берётся из одного места, а не суммируется по всем"), "gradient"),
        "not-shared": Mutation(Text("every place has a kernel of its own", "у каждого места своё ядро"), "parameters"),
    },
    picture=arms({"dense": Text("dense", "полно-\nсвязная"), "conv": Text("convolution", "свёртка"),
                  "dense shifted": Text("dense,\nmoved", "полносв.,\nсдвиг"),
                  "conv shifted": Text("convolution,\nmoved", "свёртка,\nсдвиг"),
                  "dense permuted": Text("dense,\npermuted", "полносв.,\nперест."),
                  "conv permuted": Text("convolution,\npermuted", "свёртка,\nперест.")},
                 y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds: about equal; on moved digits the convolution is better by far, with permuted "
             "pixels the dense network is.",
             "Точность на тесте во всех запусках: почти равна; на сдвинутых цифрах намного лучше свёртка, при "
             "перестановке пикселей лучше полносвязная сеть."),
    limits=Text("It helps because neighbouring pixels belong together. With the pixels in another order, the same for "
                "all images, a dense network learns as before and a convolution is worse.",
                "Она помогает потому, что соседние пиксели связаны. Если переставить пиксели, одинаково во всех "
                "изображениях, полносвязная сеть учится как прежде, а свёртка хуже."),
    sources=["LeCun et al. (1989)"],
)
