"""Augmentation of texts: copies with typing errors, against words that nobody has written that way before."""

import re
import zlib

import numpy as np

from .. import Check, Data, Experiment, Mutation, Text, arms, distance
from ..phrases import INTENTS, requests

WORD = re.compile(r"\w+")


def bags(texts, size):
    """How often each word occurs, in the column that its hash chooses (n, size); the order of words is lost."""
    different, row = np.unique(texts, return_inverse=True)      # exact copies are many
    x = np.zeros((len(different), size), np.float32)
    for counts, text in zip(x, different.tolist(), strict=True):
        for word in WORD.findall(text.lower()):
            counts[zlib.crc32(word.encode()) % size] += 1
    return x[row]


def copies(trial, texts, classes, noise=None, number=1):
    """(texts, classes) of so many noisy copies of each, or exact ones."""
    same = trial.broken == "same-copies"
    found = [text for epoch in range(number) for text in (noise(texts, epoch=0 if same else epoch) if noise else texts)]
    return found, np.repeat(classes, number) if trial.broken == "wrong-order" else np.tile(classes, number)


def train(trial, arm, texts, classes, **more):
    nn, s = trial.nn, trial.setup
    x = bags(texts, s.size)
    trial.hash(np.array(texts))
    layers = [nn.Linear(s.size, 32, activation="relu"), nn.Linear(32, len(INTENTS))]
    return trial.train(arm, layers, Data(x, classes, x, classes), epochs=s.epochs, lr=s.lr, **more)


def split(trial):
    """(texts, classes) to train on and to test on. The bug: copies are made before, and fall on either side."""
    texts, classes = requests()
    texts, classes = np.array(texts), np.array(classes)
    if trial.broken == "before-split":
        texts, classes = np.tile(texts, 2), np.tile(classes, 2)
    order = trial.random.permutation(len(texts))
    rows, others = order[:trial.setup.n], order[trial.setup.n:]
    return (list(texts[rows]), classes[rows]), (list(texts[others]), classes[others])


def trial(trial):
    s, noise = trial.setup, trial.nn.TextNoise
    (texts, classes), (test, t_test) = split(trial)
    typing = noise(drop_letters=0 if trial.broken == "left-out" else s.drop_letters, seed=trial.seed)
    x_test = bags(test, s.size)
    x_typed = bags(noise(drop_letters=s.drop_letters, seed=2**32 + trial.seed)(test), s.size)
    found = {}
    for arm, more in (("plain", None), ("noisy", typing)):
        trained = train(trial, arm, *copies(trial, texts, classes, more, s.copies))
        found[arm], found[f"{arm} typed"] = trained.accuracy(x_test, t_test), trained.accuracy(x_typed, t_test)
    swaps = [train(trial, "", *copies(trial, texts, classes, noise(swap=swap, seed=trial.seed), 2)).model
             for swap in (0, s.swap)]
    once, twice = np.array_split(copies(trial, texts, classes, noise(drop_letters=0.2, seed=trial.seed), 2)[0], 2)
    right = dict(zip(texts, classes, strict=True))
    return found | {"swap": distance(*swaps), "fresh": float((once != twice).any()),
                    "leak": len(set(texts) & set(test)),
                    "labels": sum(right[text] != each for text, each in
                                  zip(*copies(trial, texts, classes, noise(seed=trial.seed), 2), strict=True))}


def control(trial):
    (texts, classes), _ = split(trial)
    noise = trial.nn.TextNoise(drop_letters=0.0, seed=trial.seed)
    return distance(*(train(trial, "", *copies(trial, texts, classes, each, 2), steps=20).model
                      for each in (None, noise)))


experiment = Experiment(
    name="augmentation_text",
    claim=Text("Copies with typing errors make a classifier of short requests robust against typing errors.",
               "Копии с опечатками (augmentation, аугментация данных) делают классификатор коротких запросов "
               "устойчивым к опечаткам."),
    question=Text("How many points of accuracy do such copies add on requests with missing letters?",
                  "Сколько процентных пунктов точности добавят такие копии на запросах с пропущенными буквами?"),
    setup={"n": 200, "requests": 300, "intents": len(INTENTS), "size": 1024, "layers": "1024-32-6", "copies": 16,
           "drop_letters": 0.2, "swap": 0.5, "epochs": 2, "lr": 0.1},
    trial=trial,
    control=control,
    checks=[
        Check("gain", Text("accuracy on mistyped requests, with such copies minus with exact ones",
                           "точность на запросах с опечатками, с такими копиями минус с точными"),
              "noisy typed - plain typed", above=4, unit=Text("points", "п. п.")),
        Check("labels", Text("copies with the intent of another request", "копии с намерением другого запроса"),
              "labels", above=0, below=0, every=True),
        Check("leak", Text("requests that are both in training and in the test",
                           "запросы, попавшие и в обучение, и в тест"), "leak", above=0, below=0, every=True),
        Check("fresh", Text("the second copies differ from the first ones (1: yes)",
                            "вторые копии отличаются от первых (1: да)"), "fresh", above=1, every=True),
        Check("clean", Text("the same gain on requests without errors", "тот же выигрыш на запросах без опечаток"),
              "noisy - plain", below=1, unit=Text("points", "п. п."), role="limit"),
        Check("swap", Text("copies with swapped words: difference of the weights",
                           "копии с переставленными словами: разница весов"), "swap", above=0, below=0, every=True,
              role="limit"),
    ],
    mutations={
        "wrong-order": Mutation(Text("labels are in another order than the copies",
                                     "порядок меток не тот, что у копий"), "labels"),
        "before-split": Mutation(Text("copies are made first, and training and test drawn from them",
                                      "сначала делаются копии, а потом из них выбираются обучение и тест"), "leak"),
        "same-copies": Mutation(Text("every copy has the same errors",
                                     "во всех копиях одни и те же опечатки"), "fresh"),
        "left-out": Mutation(Text("copies have no errors", "в копиях нет опечаток"), "gain"),
    },
    picture=arms({"plain": Text("exact copies", "точные копии"), "noisy": Text("with errors", "с опечатками"),
                  "plain typed": Text("exact copies,\nmistyped test", "точные копии,\nопечатки"),
                  "noisy typed": Text("with errors,\nmistyped test", "с опечатками,\nопечатки")},
                 y=Text("test accuracy, %", "точность на тесте, %")),
    alt=Text("Test accuracy of all seeds: about equal on clean requests; on mistyped ones better with mistyped copies.",
             "Точность на тесте во всех запусках: на чистых запросах почти равна; на запросах с опечатками выше с "
             "копиями с опечатками."),
    limits=Text("A bag of words does not know the order of words, so copies with swapped words teach exactly nothing. "
                "Without typing errors in the test, copies with them do not help.",
                "Мешок слов (bag of words) не знает порядка слов, поэтому копии с переставленными словами не дают "
                "ровно ничего. Если в тесте нет опечаток, не помогают и копии с ними."),
    sources=["Wei and Zou (2019)", "Belinkov and Bisk (2018)"],
)
