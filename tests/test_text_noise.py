"""TextNoise: each kind of mistake by itself, how often, and the same in every process."""

import json

import numpy as np
import pytest

from fastnn_ref.shared.text_noise import KEYS
from tests.check import python

TEXTS = ["One two three four five, six seven!", "Привет, мир: как дела?", "", "a", "  ...  ", "naïve Straße 漢字 x1y2"]
pytestmark = pytest.mark.slow
MANY = ["the quick brown fox jumps over the lazy dog again and again"] * 400


@pytest.fixture(scope="session")
def nn(ref):
    """TextNoise stands once: test_mirror proves that both packages show the same class."""
    return ref


def words(text):
    return text.split()


def test_nothing_asked_nothing_changed(nn):
    assert nn.TextNoise()(TEXTS) == TEXTS
    assert nn.TextNoise(seed=5)([]) == []


def test_swap(nn):
    noisy = nn.TextNoise(swap=0.2)(MANY)
    moved = 0
    for old, new in zip(MANY, noisy, strict=True):
        assert sorted(words(old)) == sorted(words(new))
        moved += sum(a != b for a, b in zip(words(old), words(new), strict=True))
    # A pair is tried at each place but those just swapped: p / (1 + p) pairs a place, two words each.
    assert abs(moved / (400 * 12) - 2 * 0.2 / 1.2 * 11 / 12) < 0.04


def test_a_word_moves_once(nn):
    text = [f"w{place}" for place in range(20)]
    for noisy in nn.TextNoise(swap=0.6)([" ".join(text)] * 20):
        assert max(abs(text.index(word) - place) for place, word in enumerate(words(noisy))) == 1


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_delete_and_repeat(nn, p):
    count = [len(words(text)) for text in nn.TextNoise(delete=p)(MANY)]
    assert abs(np.mean(count) / 12 - (1 - p)) < 0.03
    count = [len(words(text)) for text in nn.TextNoise(repeat=p)(MANY)]
    assert abs(np.mean(count) / 12 - (1 + p)) < 0.03


def test_insert(nn):
    """Behind a word comes any word of the text, or one of its synonyms; nothing else changes."""
    text = "one two, three four!"
    inserted = []
    for new in nn.TextNoise(insert=0.4, replacements={"four": ["vier", "quatre"]})([text] * 500):
        assert new[-1] == "!" and new.count(",") == 1
        rest = iter(words(new.replace(",", "").replace("!", "")))
        expected = ["one", "two", "three", "four"]
        for word in rest:
            if expected and word == expected[0]:
                expected.pop(0)
            else:
                inserted.append(word)
        assert not expected
    assert set(inserted) == {"one", "two", "three", "vier", "quatre"}
    assert abs(len(inserted) / 2000 - 0.4) < 0.04
    assert abs(np.mean([word == "one" for word in inserted]) - 0.25) < 0.06
    both = nn.TextNoise(insert=1.0, delete=1.0)(["one two"])
    assert words(both[0])[0] == "one" and len(words(both[0])) == 2


def test_something_is_left(nn):
    noisy = nn.TextNoise(delete=1.0)(TEXTS)
    assert [bool(text.strip()) for text in noisy] == [bool(text.strip()) for text in TEXTS]
    assert noisy[0].startswith("One")
    assert noisy[3] == "a"
    assert noisy[4] == "  ...  "


def test_replace(nn):
    noise = nn.TextNoise(replace=1.0, replacements={"Quick": ["fast", "swift"], "dog": "hound"})
    noisy = noise(["Quick, quick dog!"] * 200)
    assert {words(text)[0] for text in noisy} == {"Fast,", "Swift,"}
    assert {words(text)[1] for text in noisy} == {"fast", "swift"}
    assert {words(text)[2] for text in noisy} == {"hound!"}
    assert abs(np.mean(["Fast" in text for text in noisy]) - 0.5) < 0.15


@pytest.mark.parametrize("text", ["hello keyboard", "привет клавиатура"])
def test_typos(nn, text):
    noisy = nn.TextNoise(typos=0.3)([text] * 300)
    changed = 0
    for new in noisy:
        assert len(new) == len(text)
        for a, b in zip(text, new, strict=True):
            assert a == b or b in KEYS[a]
            changed += a != b
    assert abs(changed / (300 * (len(text) - 1)) - 0.3) < 0.03


def test_keys_beside_each_other():
    assert set(KEYS["g"]) == set("fhtyvb")
    assert set(KEYS["q"]) == set("wa")
    assert set(KEYS["ф"]) == set("ыйця")
    assert all(key in KEYS[other] for key in "qwertyuiopasdfghjklzxcvbnm" for other in KEYS[key])
    assert all(key in KEYS[other] for key in "йцукенгшщзхъфывапролджэячсмитьбю" for other in KEYS[key])


def test_capitals_and_strange_letters_stay(nn):
    noisy = nn.TextNoise(typos=1.0)(["Hello, МИР! 漢字 ß 42"])[0]
    assert noisy[0].isupper()
    assert noisy[1:5].islower()
    assert noisy[5:7] == ", "
    assert noisy[7:10].isupper()
    assert noisy.endswith("! 漢字 ß 42") or noisy[10:15] == "! 漢字 "


def test_letters(nn):
    text = "abcdefghij"
    dropped = nn.TextNoise(drop_letters=0.3)([text] * 300)
    assert all(new[0] == "a" and set(new) <= set(text) and list(new) == sorted(new) for new in dropped)
    assert abs(np.mean([len(new) for new in dropped]) - 7.3) < 0.3
    doubled = nn.TextNoise(double_letters=0.3)([text] * 300)
    assert abs(np.mean([len(new) for new in doubled]) - 12.7) < 0.3
    swapped = nn.TextNoise(swap_letters=0.3)([text] * 300)
    assert all(sorted(new) == list(text) and new[0] == "a" for new in swapped)
    assert any(new != text for new in swapped)


EVERYTHING = {
    "swap": 0.2, "delete": 0.1, "repeat": 0.1, "insert": 0.1, "replace": 0.5, "typos": 0.1, "swap_letters": 0.1,
    "drop_letters": 0.1, "double_letters": 0.1, "replacements": {"two": ["2", "zwei"]},
}  # fmt: skip


def test_a_text_does_not_depend_on_the_others(nn):
    noise = nn.TextNoise(**EVERYTHING, seed=3)
    whole = noise(TEXTS * 3)
    assert noise(TEXTS * 3) == whole
    assert [noise([*TEXTS[:k], *["something else"] * 3])[:k] for k in range(len(TEXTS))] == [
        whole[:k] for k in range(len(TEXTS))]
    assert noise(TEXTS * 3, epoch=1) != whole
    assert nn.TextNoise(**EVERYTHING, seed=4)(TEXTS * 3) != whole
    assert len({noise([TEXTS[0]] * 50)[i] for i in range(50)}) > 40


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_in_every_process(nn, hash_seed):
    code = """
        import json
        from fastnn_ref import TextNoise
        from tests.test_text_noise import EVERYTHING, TEXTS
        print(json.dumps(TextNoise(**EVERYTHING, seed=3)(TEXTS * 3, epoch=2)))
    """
    assert json.loads(python(code, PYTHONHASHSEED=hash_seed)) == nn.TextNoise(**EVERYTHING, seed=3)(TEXTS * 3, epoch=2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda nn: nn.TextNoise(typos=2), ValueError, "typos: expected a finite number >= 0 and <= 1, got 2"),
        (lambda nn: nn.TextNoise(swap="often"), TypeError, "swap: expected a finite number"),
        (lambda nn: nn.TextNoise(replacements=["a"]), TypeError, "replacements: expected a dict from word to words"),
        (lambda nn: nn.TextNoise(replacements={"a": []}), ValueError,
         r"replacements\['a'\]: expected a word or several"),
        (lambda nn: nn.TextNoise(seed=-1), ValueError, "seed: expected an integer"),
        (lambda nn: nn.TextNoise()("one text"), TypeError, "texts: expected a sequence of texts, got 'one text'"),
        (lambda nn: nn.TextNoise()(["a", 3]), TypeError, r"texts\[1\]: expected a text, got 3"),
        (lambda nn: nn.TextNoise()([], epoch=-1), ValueError, "epoch: expected an integer >= 0"),
    ],
)
def test_mistakes(nn, call, error, message):
    with pytest.raises(error, match=message):
        call(nn)
