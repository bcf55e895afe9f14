"""Typing errors as augmentation: a classifier of requests that has seen mistyped copies reads mistyped requests better.

A pipeline of scikit-learn: hashed character n-grams, logistic regression. It learns from a few sentences for each
intent, once as they are and once with noisy copies beside them, and is asked about others, clean and mistyped.

    python examples/text_noise.py
"""

import argparse
import itertools

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fastnn import TextNoise

INTENTS = {
    "weather": (["will it {} {}", "is {1} going to be {0}", "how {0} does it get {1}"],
                ["rain", "snow", "freeze", "be sunny"], ["tomorrow", "tonight", "on sunday", "this evening"]),
    "alarm": (["wake me up {} {}", "set an alarm {0} {1}", "I have to get up {0} {1}"],
              ["at six", "at half past seven", "before eight", "early"],
              ["tomorrow", "on monday", "every day", "again"]),
    "music": (["play {} by {}", "I want to hear {} from {}", "put on {} of {}"],
              ["something quiet", "the new song", "an old record", "a symphony"],
              ["my favourite band", "that pianist", "the orchestra", "this singer"]),
    "light": (["turn {} the lamp {}", "switch {} all lights {}", "make it {0} {1}"],
              ["on", "off", "brighter", "darker"], ["in the kitchen", "upstairs", "in the hall", "by the door"]),
    "route": (["how do I get {} {}", "show me the way {} {}", "is there a train {} {}"],
              ["to the station", "to the museum", "home", "to the harbour"],
              ["on foot", "by bike", "without a car", "before noon"]),
    "shopping": (["put {} and {} on my list", "we need {} and {}", "remind me to buy {} and {}"],
                 ["milk", "bread", "apples", "coffee"], ["butter", "eggs", "soap", "candles"]),
}
TYPING = {"typos": 0.1, "swap_letters": 0.06, "drop_letters": 0.06, "double_letters": 0.04}


def requests() -> tuple[list[str], list[str]]:
    """All sentences and their intents."""
    found = [(template.format(a, b), intent) for intent, (templates, first, second) in INTENTS.items()
             for template, a, b in itertools.product(templates, first, second)]
    return [text for text, _ in found], [intent for _, intent in found]


def accuracy(copies: int, seed: int) -> tuple[float, float]:
    """(on clean, on mistyped sentences), learnt with so many noisy copies of ten sentences for each intent."""
    texts, intents = requests()
    order = np.random.default_rng(seed).permutation(len(texts))
    train = [i for name in INTENTS for i in [i for i in order if intents[i] == name][:10]]
    test = sorted(set(range(len(texts))) - set(train))
    seen, labels = [texts[i] for i in train], [intents[i] for i in train]
    noise = TextNoise(**TYPING, seed=seed)
    noisy = [text for epoch in range(copies) for text in noise(seen, epoch=epoch)]
    model = make_pipeline(
        HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=2**16),
        LogisticRegression(C=10, max_iter=500),
    )
    model.fit(seen + noisy, labels * (copies + 1))
    clean, asked = [texts[i] for i in test], [intents[i] for i in test]
    mistyped = TextNoise(**{name: 2 * p for name, p in TYPING.items()}, seed=1000 + seed)(clean)
    return model.score(clean, asked), model.score(mistyped, asked)


def main(seeds: int = 5) -> dict[str, float]:
    """Prints both, and returns the mean gain on mistyped sentences."""
    print(f"{'seed':>4}  {'clean':>15}  {'mistyped':>15}")
    rows = []
    for seed in range(seeds):
        (clean, mistyped), (clean_too, mistyped_too) = accuracy(0, seed), accuracy(8, seed)
        rows.append((clean_too - clean, mistyped_too - mistyped))
        print(f"{seed:>4}  {clean:6.1%} → {clean_too:6.1%}  {mistyped:6.1%} → {mistyped_too:6.1%}")
    gain = {"clean": float(np.mean([row[0] for row in rows])), "mistyped": float(np.mean([row[1] for row in rows]))}
    print(f"With noisy copies: {100 * gain['mistyped']:+.1f} points on mistyped sentences, "
          f"{100 * gain['clean']:+.1f} on clean ones.")
    return gain


if __name__ == "__main__":
    argparse.ArgumentParser().parse_args()                # it takes none, and says so
    main()
