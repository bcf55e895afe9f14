"""TextNoise: noisy copies of texts, as augmentation against misspelt, missing and repeated words.

    words      one is replaced by a synonym; two neighbours change places; one is left out or written twice; one comes
    letters    a key beside the right one is hit; two neighbours change places; one is left out or written twice

A word is a run of letters, digits and underscores; an apostrophe between two of them belongs to it ("don't" is a word).
A letter is what a reader sees as one (a grapheme cluster): "й" is one letter whether it is one code point or "и" and a
breve. Digits are no letters: a mistyped number is another number, not a misspelt one.

Each decision has its own random number, found by what is decided (the kind of mistake), the text's number in the call,
the place in the text and the epoch. So a text's noise depends neither on the other texts nor on the process, and a kind
of mistake that is switched on does not move the others.

Sources: Wei and Zou, "EDA: easy data augmentation" (2019) for words; Belinkov and Bisk, "Synthetic and natural noise
both break neural machine translation" (2018) for keys; Unicode Standard Annex 29, "Unicode text segmentation", for
letters and words. Written once, for both packages.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np

from .. import philox
from . import checks
from .config import format_call
from .network import as_seed

# ---- keyboards ----

LATIN = "qwertyuiop", "asdfghjkl", "zxcvbnm"
RUSSIAN = "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"


def neighbours(rows: Sequence[str]) -> dict[str, str]:
    """Each letter's neighbours on a keyboard with these rows, in a fixed order.

    >>> from fastnn_ref.shared.text_noise import neighbours
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


def with_capitals(keys: Mapping[str, str]) -> dict[str, str]:
    """The same neighbours for the capital letters, too."""
    return {**keys, **{key.upper(): beside.upper() for key, beside in keys.items()}}


# The key of ё stands apart, above and to the left of й, the letter nearest to it. Many people write е for ё.
KEYS = with_capitals({**neighbours(LATIN), **neighbours(RUSSIAN), "й": neighbours(RUSSIAN)["й"] + "ё", "ё": "йе"})
NOT_RUSSIAN = re.compile("[" + "".join(letter for letter in map(chr, range(0x400, 0x530)) if letter not in KEYS) + "]")


# ---- letters and words ----

APOSTROPHES = "'’‘ʼ＇"
WORD = re.compile("(\\w+(?:['’‘ʼ＇]\\w+)*)")
# Code points each of which is a letter or a sign by itself, whatever stands beside it: Latin, Greek, Cyrillic and
# Armenian letters, kana, Han, Hangul syllables, punctuation, symbols, emoji. No mark that joins the letter before it.
SIMPLE = re.compile(
    "[\\0-\u02ff\u0370-\u0482\u048a-\u052f\u0531-\u058a\u1e00-\u200a\u2010-\u2029\u202f-\u205f\u2070-\u20cf\u2100-\u2bff"
    "\u3000-\u3029\u3030-\u3098\u309b-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff01-\uff9d\U0001f300-\U0001f3fa\U0001f400-\U0001faff]*")


def simple(text: str) -> bool:
    """Is every code point of the text a letter or a sign by itself?"""
    return text.isascii() or SIMPLE.fullmatch(text) is not None


def characters(text: str) -> list[str]:
    """The text's letters and signs as a reader sees them; ModuleNotFoundError if that takes the package regex.

    >>> from fastnn_ref.shared.text_noise import characters
    >>> characters("й, ё") == ["й", ",", " ", "ё"]
    True
    """
    return list(text) if simple(text) else clusters(text)


def clusters(text: str) -> list[str]:
    """The text's grapheme clusters, by the package regex: a letter and the marks that join it."""
    try:
        regex = importlib.import_module("regex")
    except ModuleNotFoundError as error:
        at = next(place for place, character in enumerate(text) if not simple(character))
        raise ModuleNotFoundError(
            "text: expected letters of one code point each, as the package regex is missing, got "
            f'U+{ord(text[at]):04X} in {text[max(at - 20, 0):at + 20]!r}: pip install "fastnn[text]"', name="regex",
        ) from error
    found: list[str] = regex.findall(r"\X", text)
    return found


def is_letter(character: str) -> bool:
    """A letter of any alphabet, with its marks; no digit and no apostrophe."""
    return character[:1].isalpha() and character not in APOSTROPHES


def is_in_word(character: str) -> bool:
    """What a word is made of, but for the apostrophes in it."""
    return character[:1].isalnum() or character == "_"


def continues(cells: Sequence[str], place: int) -> bool:
    """Is the letter at ``place`` one of a word that began before it?"""
    before = cells[place - 1] if place else ""
    return is_in_word(before) or (before != "" and before in APOSTROPHES and place > 1 and is_in_word(cells[place - 2]))


def word_around(cells: Sequence[str], place: int) -> str:
    """The word that the letter at ``place`` belongs to."""
    start, stop = place, place + 1
    while continues(cells, start):
        start -= 1
    while stop < len(cells) and (is_in_word(cells[stop]) or continues(cells, stop + 1)):
        stop += 1
    return "".join(cells[start:stop])


def pieces(text: str) -> list[str]:
    """The words at odd places, what stands between them at even ones.

    >>> from fastnn_ref.shared.text_noise import pieces
    >>> pieces("Don't stop, 'now'!")
    ['', "Don't", ' ', 'stop', ", '", 'now', "'!"]
    """
    return WORD.split(text) if simple(text) else pieces_of(clusters(text))


def pieces_of(cells: Sequence[str]) -> list[str]:
    """The same for a text in its letters, which are never divided."""
    found = [""]
    for place, cell in enumerate(cells):
        in_word = len(found) % 2 == 0
        joins = in_word and cell in APOSTROPHES and place + 1 < len(cells) and is_in_word(cells[place + 1])
        if (is_in_word(cell) or joins) != in_word:
            found.append("")
        found[-1] += cell
    return found if len(found) % 2 else [*found, ""]


def joined(parts: Sequence[str], original: str) -> str:
    """The parts as one text; ``original`` where marks at their ends would run together into a new letter."""
    text = "".join(parts)
    if simple(text) or clusters(text) == [cell for part in parts for cell in clusters(part)]:
        return text
    return original


def key_of(word: str) -> str:
    """What two spellings of a word have in common: no capitals, one form of each letter, one apostrophe.

    >>> from fastnn_ref.shared.text_noise import key_of
    >>> key_of("Don’t")
    "don't"
    """
    if not word.isascii():
        word = normalize("NFC", normalize("NFC", word).casefold())
        for apostrophe in APOSTROPHES:
            word = word.replace(apostrophe, "'")
    return word.lower()


# ---- arguments ----


def as_texts(name: str, value: Any) -> list[str]:
    """A sequence of texts as a list; one text is none, nor is a set, whose order is another one in each process."""
    if isinstance(value, str | set | frozenset) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name}: expected a sequence of texts, got {value!r}")
    found = list(value)
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{number}]: expected a text, got {text!r}")
    return found


def as_replacements(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Word → words, with ``key_of`` the word on the left; None is no word."""
    if not isinstance(value, Mapping | None):
        raise TypeError(f"{name}: expected a dict from word to words, got {value!r}")
    found: dict[str, tuple[str, ...]] = {}
    for word, several in (value or {}).items():
        if not isinstance(word, str):
            raise TypeError(f"{name}: expected words, got {word!r}")
        if pieces(word) != ["", word, ""]:
            raise ValueError(f"{name}: expected one word (letters, digits, underscores, apostrophes between them), "
                             f"got {word!r}, which no word of a text can match")
        if key_of(word) in found:
            raise ValueError(f"{name}: expected each word once, got {word!r} and another spelling of it")
        words = (several,) if isinstance(several, str) else tuple(as_texts(f"{name}[{word!r}]", several))
        if not words or not all(words):
            raise ValueError(f"{name}[{word!r}]: expected a word or several, got {several!r}")
        for each in words:
            characters(each)                        # if that takes regex, then say so now
        found[key_of(word)] = words
    return found


# ---- the noise ----

WORD_KINDS = "replace", "swap", "delete", "repeat", "insert"
LETTER_KINDS = "typos", "swap_letters", "drop_letters", "double_letters"
KINDS = WORD_KINDS + LETTER_KINDS
CHUNK = 1024        # texts at a time
SLICE = 2**14       # blocks of four random words at a time: what a second-level cache holds

Hits = dict[str, dict[int, float]]              # kind → place → a number in [0, 1) to choose by


class TextNoise:
    """Makes noisy copies of texts: ``TextNoise(typos=0.05, seed=1)(texts)`` is a list of as many texts.

    Each argument is a probability, 0 … 1. For each word: ``replace`` by one of ``replacements`` (word → a word or
    several), where it has some; ``swap`` with the next one; ``delete`` (a text that has words keeps at least one);
    ``repeat``; ``insert`` any word of the text behind it, or a replacement of it, where it has some. Then for each
    letter: ``typos`` by a key beside it; and, but for the first of a word, ``swap_letters`` with the next one,
    ``drop_letters``, ``double_letters``. ``seed`` 0 … 2⁶⁴−1. A call with another ``epoch`` draws anew.

    A word is letters, digits and underscores, with apostrophes between them. Capitals, the form of the apostrophe and
    the form of accents (one code point or two) do not matter to ``replacements``; a key that is not one word is a
    ValueError. Letters keep their case. Digits, punctuation and spaces are never mistyped. Typing errors come from the
    keyboard of the letter's own alphabet, QWERTY or Russian ЙЦУКЕН; other letters, and Cyrillic words of other
    languages (with a letter that the Russian alphabet lacks), have none.

    Texts with combining marks (decomposed accents, Devanagari, Thai, joined emoji) need the package regex:
    ``pip install "fastnn[text]"``; without it they are a ModuleNotFoundError. All other texts get the same noise from
    any version of Python; these, from any with the same version of Unicode.

    >>> import fastnn_ref as nn
    >>> noise = nn.TextNoise(swap=0.3, replace=1.0, replacements={"quick": "fast"}, seed=1)
    >>> noise(["The quick brown fox jumps."])
    ['The brown fast fox jumps.']
    >>> noise(["The quick brown fox jumps."], epoch=1)
    ['The fast brown jumps fox.']
    >>> nn.TextNoise(typos=0.2, seed=4)(["Привет, мир", "Meet me in room 101"])
    ['Привпт, мир', 'Mset ke in rpok 101']
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
        self.replacements = as_replacements("replacements", replacements)
        self.typos = checks.as_number("typos", typos, 0, 1)
        self.swap_letters = checks.as_number("swap_letters", swap_letters, 0, 1)
        self.drop_letters = checks.as_number("drop_letters", drop_letters, 0, 1)
        self.double_letters = checks.as_number("double_letters", double_letters, 0, 1)
        self.seed = as_seed(seed)

    def __repr__(self) -> str:
        names = ("swap", "delete", "repeat", "insert", "replace", "replacements", "typos", "swap_letters",
                 "drop_letters", "double_letters", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        return format_call(type(self).__name__, (), given)

    def __call__(self, texts: Iterable[str], epoch: int = 0) -> list[str]:
        """A noisy copy of each text; ``epoch`` >= 0 chooses the draws. TypeError for what is no text."""
        epoch = checks.as_integer("epoch", epoch, 0, 2**32 - 1)
        given = as_texts("texts", texts)
        found: list[str] = []
        for first in range(0, len(given), CHUNK):
            some = given[first:first + CHUNK]
            if any(getattr(self, kind) for kind in WORD_KINDS):
                split = [pieces(text) for text in some]
                hits = self.draw(WORD_KINDS, [len(parts) // 2 for parts in split], first, epoch)
                some = [self.change_words(*each) for each in zip(some, split, hits, strict=True)]
            if any(getattr(self, kind) for kind in LETTER_KINDS):
                cells = [characters(text) for text in some]
                hits = self.draw(LETTER_KINDS, [len(each) for each in cells], first, epoch)
                some = [self.change_letters(*each) for each in zip(some, cells, hits, strict=True)]
            found += some
        return found

    def draw(self, kinds: Sequence[str], counts: Sequence[int], first: int, epoch: int) -> list[Hits]:
        """For each text, with so many places: which kinds of mistake happen, at which places.

        Place i of text n draws word i % 4 of block (kind · 2²⁸ + i // 4, n).
        """
        kinds = [kind for kind in kinds if getattr(self, kind)]
        thresholds = np.array([philox.threshold(getattr(self, kind)) for kind in kinds], np.uint64)
        lanes = np.array([KINDS.index(kind) << 28 for kind in kinds], np.uint32)
        sizes = np.array(counts, np.int64)
        blocks = -(-sizes // 4)
        ends = np.cumsum(blocks)
        total = int(ends[-1])
        found: list[Hits] = [{} for _ in counts]
        for start in range(0, len(kinds) * total, SLICE):
            kind, block = np.divmod(np.arange(start, min(start + SLICE, len(kinds) * total)), total)
            text = np.searchsorted(ends, block, side="right")
            block -= (ends - blocks)[text]                                          # within the text
            counter = np.empty((len(block), 4), np.uint32)
            counter[:, 0], counter[:, 1] = lanes[kind] + block.astype(np.uint32), first + text
            counter[:, 2], counter[:, 3] = epoch, philox.stream(philox.TEXT, 0)
            words = philox.philox4x32(counter, (self.seed % 2**32, self.seed >> 32)).astype(np.uint64)
            row, column = np.nonzero(words < thresholds[kind, None])
            place = 4 * block[row] + column
            there = place < sizes[text[row]]                                        # the last block reaches too far
            row, column, place = row[there], column[there], place[there]
            # A word below the threshold is as good as a new one to choose with.
            share = words[row, column] / thresholds[kind[row]]
            for k, n, i, u in zip(kind[row].tolist(), text[row].tolist(), place.tolist(), share.tolist(), strict=True):
                found[n].setdefault(kinds[k], {})[i] = u
        return found

    def change_words(self, text: str, parts: Sequence[str], hits: Hits) -> str:
        """One text with the mistakes at its words."""
        if not hits:
            return text
        known = parts[1::2]
        words = list(known)
        for place, share in hits.get("replace", {}).items():
            words[place] = self.synonym(words[place], share)
        moved = -1                                  # a word moves once at most
        for place in hits.get("swap", {}):
            if moved < place < len(words) - 1:
                words[place], words[place + 1] = words[place + 1], words[place]
                moved = place + 1
        gone = set(hits.get("delete", ()))
        if len(gone) == len(words):
            gone.discard(0)
        result = [parts[0]]
        for place, (word, between) in enumerate(zip(words, parts[2::2], strict=True)):
            if place not in gone:
                result += [word, *([" ", word] if place in hits.get("repeat", {}) else [])]
                if place in hits.get("insert", {}):
                    at, share = divmod(hits["insert"][place] * len(known), 1)
                    result += [" ", self.synonym(known[int(at)], share)]
                result.append(between)
            elif between.strip(" ") or place == len(words) - 1:
                result[-1] = result[-1].rstrip(" ")
                result.append(between)
        return joined(result, text)

    def synonym(self, word: str, share: float) -> str:
        """One of the word's replacements, with its capitals, or itself if it has none; ``share`` in [0, 1) chooses."""
        known = self.replacements.get(key_of(word))
        if not known:
            return word
        found = known[int(share * len(known))]
        if len(word) > 1 and word.isupper():
            return found.upper()
        return found[:1].title() + found[1:] if word[:1].isupper() else found

    def change_letters(self, text: str, cells: list[str], hits: Hits) -> str:
        """One text with the mistakes at its letters, one kind after the other."""
        if not hits:
            return text
        typed = list(cells)
        other = "typos" in hits and NOT_RUSSIAN.search(normalize("NFC", text)) is not None
        for place, share in hits.get("typos", {}).items():
            beside = KEYS.get(cells[place]) or KEYS.get(normalize("NFC", cells[place]))
            if beside and not (other and NOT_RUSSIAN.search(normalize("NFC", word_around(cells, place)))):
                typed[place] = beside[int(share * len(beside))]
        inner = {kind: [place for place in hits[kind] if is_letter(cells[place]) and continues(cells, place)]
                 if kind in hits else [] for kind in LETTER_KINDS[1:]}
        moved = -1                                  # a letter moves once at most
        for place in inner["swap_letters"]:
            if moved < place < len(cells) - 1 and is_letter(cells[place + 1]):
                typed[place], typed[place + 1] = typed[place + 1], typed[place]
                moved = place + 1
        for place in inner["drop_letters"]:
            typed[place] = ""
        doubled = set(inner["double_letters"])
        if doubled:
            typed = [cell for place, cell in enumerate(typed) for cell in [cell] * (1 + (place in doubled))]
        return joined(typed, text)
