"""Augmentation of images: changes that leave the class as it is, drawn anew at each step."""

import copy

import numpy as np

from .. import Check, Experiment, Mutation, Text, arms, distance
from ..trial import DEVIATION, MEAN

BACKGROUND = {"fill": -MEAN / DEVIATION, "image_shape": (1, 8, 8)}


def shifted(trial, x):
    """Each image of 64 pixels moved by −1, 0 or 1 pixel, down and across."""
    move = trial.nn.Augment(shift=1, whole_shift=True, **BACKGROUND)
    return trial.nn.Sequential(move, seed=trial.seed, dtype="float32").forward(x, training=True).copy()


def augment(trial, changes):
    """Augment; or with the bug that is asked for."""
    nn, broken = trial.nn, trial.broken
    changes = BACKGROUND | {"fill": 0 if broken == "wrong-fill" else BACKGROUND["fill"]} | changes
    if broken not in ("at-prediction", "same-draw"):
        return nn.Augment(**({"image_shape": (1, 8, 8)} if broken == "left-out" else changes))
    model = nn.Sequential(nn.Augment(**changes), seed=trial.seed, dtype="float32")

    class Wrong(nn.CustomLayer):
        def forward_pass(self, x, training):
            if broken == "at-prediction":
                return model.forward(x, training=True)
            return copy.deepcopy(model).forward(x, training=True) if training else x

        def backward_pass(self, dy):
            return dy               # there is nothing to train before it

    return Wrong()


def train(trial, arm, data, before, **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10)]
    return trial.train(arm, [*before, *layers], data, epochs=s.epochs, lr=s.lr, **more)


def trial(trial):
    nn, s, data = trial.nn, trial.setup, trial.digits(trial.setup.n)
    x_shifted, found = shifted(trial, data.x_test), {}
    for arm, changes in (("plain", {}), ("full", s.full), ("shifts", s.shifts), ("mirror", s.mirror)):
        trained = train(trial, arm, data, [augment(trial, changes)] if changes else [])
        found[arm] = trained.accuracy(data.x_test, data.t_test)
        found[f"{arm} shifted"] = trained.accuracy(x_shifted, data.t_test)
    layer = nn.Sequential(augment(trial, s.full), seed=trial.seed)
    passes = [layer.forward(data.x, training=True).copy() for _ in range(2)]
    blank = np.full((20, 64), BACKGROUND["fill"], np.float32)
    still = nn.Sequential(augment(trial, s.full | {"noise": 0}), seed=trial.seed, dtype="float32")
    return found | {"fresh": float((passes[0] != passes[1]).any(axis=1).mean()),
                    "prediction": np.abs(layer.predict(data.x) - data.x).max(),
                    "background": np.abs(still.forward(blank, training=True) - blank).max()}


def control(trial):
    data, zero = trial.digits(96), trial.nn.Augment(image_shape=(1, 8, 8))
    return distance(*(train(trial, "", data, each, steps=20).model for each in ([], [zero])))


experiment = Experiment(
    name="augmentation_images",
    claim=Text("With few images, small random changes of them make the network better, above all on images that are "
               "changed in the same way.",
               "Если изображений мало, их небольшие случайные изменения (augmentation, аугментация данных) улучшают "
               "сеть, особенно на изображениях, изменённых так же."),
    question=Text("100 digits to learn from: how many points of accuracy do rotation, shift, zoom, shear and noise "
                  "add?",
                  "Обучение на 100 цифрах: сколько процентных пунктов точности добавят поворот, сдвиг, увеличение, "
                  "перекос и шум?"),
    setup={"n": 100, "layers": "64-128-10", "epochs": 120, "lr": 0.05,
           "full": {"rotation": 10, "shift": 0.5, "zoom": 0.1, "shear": 11, "noise": 0.6},
           "shifts": {"shift": 1, "whole_shift": True}, "mirror": {"flip": 0.5}},
    trial=trial,
    control=control,
    checks=[
        Check("gain", Text("test accuracy, with all changes minus without", "точность на тесте, со всеми изменениями "
                           "минус без"), "full - plain", above=1, unit=Text("points", "п. п.")),
        Check("shifted", Text("the same on digits moved by up to a pixel", "то же на цифрах, сдвинутых не более чем на "
                              "пиксель"), "full shifted - plain shifted", above=10, unit=Text("points", "п. п.")),
        Check("shifts alone", Text("on moved digits, with shifts of a pixel alone minus without",
                                   "на сдвинутых цифрах, только со сдвигами на пиксель минус без"),
              "shifts shifted - plain shifted", above=25, unit=Text("points", "п. п.")),
        Check("all or shifts", Text("test accuracy, all changes minus shifts alone",
                                    "точность на тесте, все изменения минус только сдвиги"), "full - shifts", above=1,
              unit=Text("points", "п. п.")),
        Check("fresh", Text("share of images that differ between two training passes",
                            "доля изображений, различных в двух проходах обучения"), "fresh", above=1, every=True),
        Check("prediction", Text("change of an image at prediction", "изменение изображения при предсказании"),
              "prediction", above=0, below=0, every=True),
        Check("background", Text("change of an image that is nothing but background",
                                 "изменение изображения из одного фона"), "background", below=1e-5, every=True),
        Check("mirror", Text("test accuracy, with mirror images minus without",
                             "точность на тесте, с зеркальными отражениями минус без"), "mirror - plain", below=-1,
              unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "same-draw": Mutation(Text("every step draws the same changes", "изменения одни и те же на каждом шаге"),
                              "fresh"),
        "at-prediction": Mutation(Text("images are changed at prediction, too",
                                       "изображения изменяются и при предсказании"), "prediction"),
        "wrong-fill": Mutation(Text("zeros come in from outside, and the background is not 0",
                                    "снаружи входят нули, а фон не равен 0"), "background"),
        "left-out": Mutation(Text("nothing is changed", "ничего не изменяется"), "shifts alone"),
    },
    picture=arms({"plain": Text("without", "без"), "full": Text("all", "все"),
                  "plain shifted": Text("without,\nmoved", "без,\nсдвиг"),
                  "full shifted": Text("all,\nmoved", "все,\nсдвиг"),
                  "shifts shifted": Text("shifts alone,\nmoved", "только сдвиги,\nсдвиг")},
                 y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds: a little better with all changes; on moved digits far better, and best with "
             "shifts alone.",
             "Точность на тесте во всех запусках: со всеми изменениями немного лучше; на сдвинутых цифрах намного "
             "лучше, и лучше всего только со сдвигами."),
    limits=Text("A change has to leave the class as it is: mirror images of digits are no digits, and they do harm.",
                "Изменение не должно менять класс: отражённые цифры уже не цифры, и они вредят."),
    sources=["Simard, Steinkraus and Platt (2003)"],
)
