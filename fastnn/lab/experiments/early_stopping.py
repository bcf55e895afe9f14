"""Early stopping: end when the validation loss no longer falls, and take the best weights back."""

from .. import Check, Experiment, Mutation, Text, curves, distance


def train(trial, arm, data, callbacks=(), **more):
    nn, s = trial.nn, trial.setup
    layers = [nn.Linear(64, 128, activation="relu"), nn.Linear(128, 10)]
    return trial.train(arm, layers, data, epochs=s.epochs, lr=s.lr, decay=False, callbacks=callbacks, validate=True,
                       **more)


def trial(trial):
    nn, s = trial.nn, trial.setup
    wrong = {"last-weights": {"restore_best_weights": False}, "training-loss": {"monitor": "loss"},
             "wrong-way": {"mode": "max"}}.get(trial.broken, {})
    found = {}
    for kind, share in (("", s.wrong_labels), (" clean", 0.0)):
        data = trial.digits(s.n, validation=s.validation, wrong_labels=share)
        plain = train(trial, f"plain{kind}", data)
        stopped = train(trial, f"stopped{kind}", data, [nn.EarlyStopping(patience=s.patience, **wrong)])
        losses = stopped.history["val_loss"]
        found[f"plain{kind}"] = plain.accuracy(data.x_test, data.t_test)
        found[f"stopped{kind}"] = stopped.accuracy(data.x_test, data.t_test)
        if not kind:
            for name in ("loss", "val_loss"):
                trial.curve(name, plain.history[name])
            returned = stopped.model.evaluate(data.x_validation, data.t_validation, nn.CrossEntropyLoss())["loss"]
            found |= {"epochs": len(losses), "best": returned - min(losses)}
    return found


def control(trial):
    """A patience that no training uses up."""
    data = trial.digits(96, validation=32)
    never = trial.nn.EarlyStopping(patience=1000, restore_best_weights=False)
    return distance(*(train(trial, "", data, each, steps=40).model for each in ((), (never,))))


experiment = Experiment(
    name="early_stopping",
    claim=Text("With wrong labels, stopping when the validation loss rises gives a better network in fewer epochs.",
               "При неверных метках ранняя остановка (early stopping) по росту потерь на валидации даёт лучшую сеть "
               "за меньшее число эпох."),
    question=Text("How many points of accuracy does it gain where 30 % of the labels are wrong?",
                  "Сколько процентных пунктов точности она добавит, если 30 % меток неверны?"),
    setup={"n": 500, "validation": 300, "wrong_labels": 0.3, "layers": "64-128-10", "patience": 5, "epochs": 60,
           "lr": 0.05},
    trial=trial,
    control=control,
    checks=[
        Check("gain", Text("test accuracy with early stopping minus after all epochs",
                           "точность на тесте с ранней остановкой минус после всех эпох"), "stopped - plain", above=5,
              unit=Text("points", "п. п.")),
        Check("epochs", Text("epochs until it stops", "эпох до остановки"), "epochs", below=20),
        Check("best", Text("validation loss of the returned model minus the smallest one",
                           "потери возвращённой модели на валидации минус наименьшие"), "best", above=0, below=0,
              every=True),
        Check("clean", Text("the same gain on clean labels", "тот же выигрыш на чистых метках"),
              "stopped clean - plain clean", below=1, unit=Text("points", "п. п."), role="limit"),
    ],
    mutations={
        "last-weights": Mutation(Text("the last weights are returned, not the best",
                                      "возвращаются последние веса, а не лучшие"), "best"),
        "training-loss": Mutation(Text("it watches the training loss", "отслеживаются потери на обучении"), "epochs"),
        "wrong-way": Mutation(Text("it waits for the loss to rise", "ожидается рост потерь, а не падение"), "best"),
    },
    picture=curves({"loss": Text("training", "обучение"), "val_loss": Text("validation", "валидация")},
                   x=Text("epoch", "эпоха"), y=Text("loss", "потери")),
    alt=Text("Training loss falls in all 60 epochs; validation loss falls for a few epochs and then rises.",
             "Потери на обучении падают все 60 эпох; на валидации они падают несколько эпох, затем растут."),
    limits=Text("On clean labels it does not help, and the validation examples are missing in training.",
                "На чистых метках она не помогает, а примеры для валидации не участвуют в обучении."),
    sources=["Prechelt (1998)"],
)
