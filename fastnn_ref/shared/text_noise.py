"""Noise for texts: what people mistype and leave out, so that a model of texts does not hang on how a word is spelt.

    words        two neighbours change places, one is left out, one is written twice, one is replaced by a synonym, one
                 more comes in between
    characters   a key beside the right one is hit (Latin and Cyrillic keyboards); two change places, one is left out,
                 one is written twice

Each text draws from a stream of its own, by its number in the call and by the call's epoch: the same in every process
and for any other texts beside it. A text that has words keeps at least one.

Sources: Wei and Zou, "EDA: easy data augmentation" (2019) for words; Belinkov and Bisk, "Synthetic and natural noise
both break neural machine translation" (2018) for keys. Written once, for both packages: it is not about numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .. import philox
from . import checks

ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"), ("1234567890", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю")
BLOCK = 64          # random words drawn at a time


def neighbours(rows: Sequence[str]) -> dict[str, str]:
    """Each letter's neighbours on a keyboard with these rows, in a fixed order.

    >>> neighbours(("qwe", "asd"))["q"], neighbours(("qwe", "asd"))["s"]
    ('wa', 'adwe')
    """
    found = {}
    for row, keys in enumerate(rows):
        for place, key in enumerate(keys):
            beside = [keys[at] for at in (place - 1, place + 1) if 0 <= at < len(keys)]
            # A row stands half a key to the right of the one above.
            above = [rows[row - 1][at] for at in (place, place + 1) if row and at < len(rows[row - 1])]
            next_row = rows[row + 1] if row + 1 < len(rows) else ""
            below = [next_row[at] for at in (place - 1, place) if 0 <= at < len(next_row)]
            found[key] = "".join(beside + above + below)
    return found


KEYS = {key: [c for c in beside if c.isalpha()] for rows in ROWS for key, beside in neighbours(rows).items()}


class TextNoise:
    """Makes noisy copies of texts: ``TextNoise(typos=0.05, seed=1)(texts)`` is a list of as many texts.

    Each argument is a probability, 0 … 1. For each word: ``swap`` with the next one, ``delete``, ``repeat``, ``insert``
    any word of the text behind it, and ``replace`` by one of ``replacements`` (word in lower case → a word or several),
    where it has some; so is an inserted word. For each letter (not the first of a word for the last three): ``typos``
    by a key beside it, ``swap_letters`` with the next one, ``drop_letters``, ``double_letters``. Capitals, punctuation
    and spaces stay where they are. ``seed`` 0 … 2⁶⁴−1. A call with another ``epoch`` draws anew.

    >>> noise = TextNoise(swap=0.3, replace=1.0, replacements={"quick": "fast"}, seed=1)
    >>> noise(["The quick brown fox jumps."])
    ['The fast fox brown jumps.']
    >>> noise(["The quick brown fox jumps."], epoch=4)
    ['The fast brown fox jumps.']
    >>> TextNoise(typos=0.2, seed=3)(["Привет, мир", "hello world"]) == TextNoise(typos=0.2, seed=3)(
    ...     ["Привет, мир", "hello world"])
    True
    """

    def __init__(
        self, *, swap: float = 0.0, delete: float = 0.0, repeat: float = 0.0, insert: float = 0.0, replace: float = 0.0,
        replacements: Mapping[str, str | Sequence[str]] | None = None, typos: float = 0.0, swap_letters: float = 0.0,
        drop_letters: float = 0.0, double_letters: float = 0.0, seed: int = 0,
    ) -> None:
        self.swap = checks.as_number("swap", swap, 0, 1)
        self.delete = checks.as_number("delete", delete, 0, 1)
        self.repeat = checks.as_number("repeat", repeat, 0, 1)
        self.insert = checks.as_number("insert", insert, 0, 1)
        self.replace = checks.as_number("replace", replace, 0, 1)
        self.replacements = checks.as_replacements("replacements", replacements)
        self.typos = checks.as_number("typos", typos, 0, 1)
        self.swap_letters = checks.as_number("swap_letters", swap_letters, 0, 1)
        self.drop_letters = checks.as_number("drop_letters", drop_letters, 0, 1)
        self.double_letters = checks.as_number("double_letters", double_letters, 0, 1)
        self.seed = checks.as_seed(seed)

    def __repr__(self) -> str:
        names = ("swap", "delete", "repeat", "insert", "replace", "replacements", "typos", "swap_letters",
                 "drop_letters", "double_letters", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        return checks.format_call(type(self).__name__, (), given)

    def __call__(self, texts: Iterable[str], epoch: int = 0) -> list[str]:
        """A noisy copy of each text; ``epoch`` >= 0 chooses the draws. TypeError for what is no text."""
        epoch = checks.as_integer("epoch", epoch, 0, 2**32 - 1)
        return [self.noisy(text, Draws(self.seed, epoch, number))
                for number, text in enumerate(checks.as_texts("texts", texts))]

    def noisy(self, text: str, draws: Draws) -> str:
        """One text: first its words, then their letters."""
        pieces = re.split(r"(\w+)", text)           # what stands between the words at even places, the words at odd
        words = pieces[1::2]
        words = [self.replaced(word, draws) for word in words]
        at = 0
        while at + 1 < len(words):                  # a word moves once at most
            if draws.happens(self.swap):
                words[at], words[at + 1] = words[at + 1], words[at]
                at += 1
            at += 1
        gone = [draws.happens(self.delete) for _ in words]
        if all(gone):
            gone[:1] = [False] * len(gone[:1])
        twice = [draws.happens(self.repeat) for _ in words]
        more = [self.another(pieces[1::2], draws) if draws.happens(self.insert) else "" for _ in words]
        text = pieces[0]
        for word, leave, again, extra, between in zip(words, gone, twice, more, pieces[2::2], strict=True):
            if leave:
                text = text.rstrip(" ") + between if between.strip() else text
                continue
            mistyped = self.mistyped(word, draws)
            text += mistyped + (f" {mistyped}" if again else "")
            text += (f" {self.mistyped(extra, draws)}" if extra else "") + between
        return text

    def replaced(self, word: str, draws: Draws) -> str:
        """The word or one of its synonyms, with its capital."""
        if word.lower() not in self.replacements or not draws.happens(self.replace):
            return word
        return self.synonym(word, draws)

    def another(self, words: Sequence[str], draws: Draws) -> str:
        """Any of the words, or a synonym of it."""
        return self.synonym(words[draws.below(len(words))], draws)

    def synonym(self, word: str, draws: Draws) -> str:
        """One of the word's synonyms, with its capital, or itself if it has none."""
        known = self.replacements.get(word.lower())
        if not known:
            return word
        found = known[draws.below(len(known))]
        return found[:1].upper() + found[1:] if word[:1].isupper() else found

    def mistyped(self, word: str, draws: Draws) -> str:
        """The word as somebody in a hurry types it."""
        letters: list[str] = []
        held = ""                                   # a letter that the next one overtakes
        for place, letter in enumerate(word):
            typed = letter
            beside = KEYS.get(letter.lower())
            if beside and draws.happens(self.typos):
                typed = beside[draws.below(len(beside))]
                typed = typed.upper() if letter.isupper() else typed
            if held:
                letters += [typed, held]
                held = ""
            elif place and place + 1 < len(word) and draws.happens(self.swap_letters):
                held = typed
            elif not (place and draws.happens(self.drop_letters)):
                letters += [typed] * (2 if place and draws.happens(self.double_letters) else 1)
        return "".join(letters)


class Draws:
    """Random numbers for one text, a block at a time."""

    def __init__(self, seed: int, epoch: int, number: int) -> None:
        self.words = self.stream(seed, epoch, number)

    @staticmethod
    def stream(seed: int, epoch: int, number: int) -> Iterator[int]:
        """The words of text ``number``: those of counters number · 2³² and on."""
        start = number << 30
        while True:
            yield from philox.uint32(BLOCK, seed, epoch, philox.stream(philox.TEXT, 0), start).tolist()
            start += BLOCK // 4

    def happens(self, p: float) -> bool:
        """True with probability ``p``; nothing is drawn for 0."""
        return p > 0 and next(self.words) < philox.threshold(p)

    def below(self, n: int) -> int:
        """A number from 0 to n − 1."""
        return math.floor(next(self.words) * n / 2**32)
