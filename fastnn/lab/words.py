"""What the lab says around an experiment, in English and Russian, and its summary as plain text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .evidence import INCONCLUSIVE
from .experiment import Check, Text

WORDS = {
    "PASS": ("PASS", "ПОДТВЕРЖДЕНО"), "FAIL": ("FAIL", "ОПРОВЕРГНУТО"),
    "INCONCLUSIVE": ("INCONCLUSIVE", "НЕ РЕШЕНО"), "SHOWN": ("shown", "показано"),
    "claim": ("claim", "утверждение"), "limit": ("where it does not help", "где не помогает"),
    "control": ("control", "контроль"),
    "check": ("what is measured", "что измерено"), "kind": ("kind", "вид"), "effect": ("mean", "среднее"),
    "interval": ("95 % interval", "95 % интервал"), "threshold": ("threshold", "порог"),
    "p": ("p, corrected", "p с поправкой"), "verdict": ("verdict", "вывод"),
    "misleading": ("single seeds that say otherwise", "одиночные запуски, говорящие обратное"),
    "every": ("every seed", "каждый запуск"), "seeds": ("seeds", "запусков"), "seed": ("seed", "запуск"),
    "predicted": ("The reader predicted", "Читатель предсказал"), "measured": ("measured", "измерено"),
    "picture": ("What there is to see", "Что видно"), "dots": ("Every seed", "Каждый запуск"),
    "numbers": ("Checks", "Проверки"), "setup": ("Configuration", "Конфигурация"),
    "limits": ("When it does not help", "Когда это не помогает"), "sources": ("Sources", "Источники"),
    "repeat": ("This line repeats it", "Эта строка повторит запуск"), "data": ("data, sha256", "данные, sha256"),
    "versions": ("versions", "версии"), "instruction set": ("instruction set", "набор команд"), "s": ("s", "с"),
    "cpu": ("CPU seconds", "секунды процессора"), "wall": ("wall clock", "по часам"),
    "reference": ("the same in fastnn_ref takes about", "то же в fastnn_ref займёт примерно"),
    "mutations": ("Bugs that it catches", "Ошибки, которые она ловит"), "bug": ("bug", "ошибка"),
    "by": ("caught by", "ловит проверка"), "option": ("option", "ключ"),
    "broken": ("Run with a bug, put in on purpose", "Запуск с намеренно внесённой ошибкой"),
    "caught": ("caught by", "поймана проверкой"), "not caught": ("NOT caught by", "НЕ поймана проверкой"),
    "first": ("first", "первый"), "second": ("second", "второй"), "difference": ("difference", "разность"),
    "concept": ("experiment", "опыт"),
    "index": ("The lab: claims of textbooks, measured", "Лаборатория: утверждения учебников, измеренные"),
    "all arms": ("all, with measuring", "всё вместе с измерениями"), "arm": ("arm", "вариант"),
    "how": ("Each dot is a seed; the bar is the 95 % interval of the mean; the hatched side is where the claim fails. "
            "Verdicts follow p-values that are corrected after Holm, each of up to three looks with a third of 5 %.",
            "Точка — один запуск, отрезок — 95 % интервал среднего; заштриховано там, где утверждение неверно. Выводы "
            "следуют из p-значений с поправкой Холма (Holm), на каждый из трёх просмотров приходится треть от 5 %."),
    "without": ("Without the bug one would see this.", "Без этой ошибки было бы видно вот что."),
    "expected": ("If the claim held in every check, one would see this.",
                 "Если бы утверждение подтвердилось во всех проверках, было бы видно вот что."),
    "one": ("One seed. A single run shows one draw of the effect and no interval: which way another seed goes cannot "
            "be known from it. Run with --seeds 24 to see how many single seeds say the opposite of the mean.",
            "Один запуск. Он показывает лишь одно случайное значение эффекта и не даёт интервала: куда отклонится "
            "другой запуск, по нему не узнать. С --seeds 24 видно, сколько одиночных запусков говорят обратное."),
}  # fmt: skip


def word(name: str, language: str) -> str:
    """A word of the reports; a name without an entry is shown as it is."""
    return WORDS[name][language == "ru"] if name in WORDS else name


def count_of_seeds(n: int, language: str) -> str:
    """How many seeds.

    >>> from fastnn.lab.words import count_of_seeds
    >>> count_of_seeds(1, "en"), count_of_seeds(24, "en"), count_of_seeds(24, "ru"), count_of_seeds(11, "ru")
    ('1 seed', '24 seeds', '24 запуска', '11 запусков')
    """
    if language != "ru":
        return f"{n} {'seed' if n == 1 else 'seeds'}"
    tens = n // 10 % 10 == 1
    return f"{n} {'запуск' if n % 10 == 1 and not tens else 'запуска' if 2 <= n % 10 <= 4 and not tens else 'запусков'}"


def decimal(text: str, language: str) -> str:
    """A number as text, with the language's decimal sign.

    >>> from fastnn.lab.words import decimal
    >>> decimal("0.5", "en"), decimal("0.5", "ru")
    ('0.5', '0,5')
    """
    return text.replace(".", ",") if language == "ru" else text


def number(value: float, language: str = "en") -> str:
    """A number with three digits; a whole one below a million with all of them.

    >>> from fastnn.lab.words import number
    >>> number(0.99312), number(-1.5e-9, "ru"), number(float("nan")), number(9610)
    ('0.993', '−1,5e−09', 'nan', '9610')
    """
    whole = abs(value) < 1e6 and value == int(value)
    return decimal(f"{value + 0.0:.0f}" if whole else f"{value + 0.0:.3g}", language).replace("-", "−")


def setting(value: Any, language: str) -> str:
    """A value of a configuration as Python writes it; in Russian numbers have commas, also in lists and records.

    >>> from fastnn.lab.words import setting
    >>> setting(0.05, "ru"), setting([0.1, 1], "en"), setting([0.1, 1], "ru"), setting("conv 3x3, pool 2", "ru")
    ('0,05', '[0.1, 1]', '[0,1; 1]', 'conv 3x3, pool 2')
    """
    if language != "ru" or isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {setting(each, language)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return f"[{'; '.join(setting(each, language) for each in value)}]"
    return decimal(str(value), language)


def configuration(result: Any, language: str) -> dict[str, str]:
    """Name → value of a result's configuration; an experiment's own ``Text`` in the language, if it still says that."""
    own = result.experiment.setup
    return {name: own[name].to(language) if isinstance(own.get(name), Text) and own[name].en == value
            else setting(value, language) for name, value in result.record.setup.items()}


def versions(result: Any, language: str) -> str:
    """What a result was measured with."""
    return ", ".join(f"{word(name, language)} {value}" for name, value in result.record.versions.items())


def described(result: Any, language: str) -> str:
    """The description of the picture. It is that of a claim that holds: a run of which this is not known says so."""
    alt: str = result.experiment.alt.to(language)
    why = "without" if result.record.broken else "" if result.verdict == "PASS" else "expected"
    return f"{word(why, language)} {alt}" if alt and why else alt


def limits(check: Check, language: str = "en") -> str:
    """The thresholds of a check: ``> 0.3``, ``15.5 … 16.7``, ``0.8 ± 1e−12``, ``≤ 0`` where every seed counts."""
    more, less = ("≥", "≤") if check.every else (">", "<")
    if check.above is not None and check.below is not None:
        ends = [number(each, language) for each in (check.above, check.below)]
        if check.above == check.below:
            return f"= {ends[0]}"
        middle, half = (check.above + check.below) / 2, (check.below - check.above) / 2
        return " … ".join(ends) if ends[0] != ends[1] else f"{number(middle, language)} ± {number(half, language)}"
    return f"{more} {number(check.above, language)}" if check.above is not None else \
        "" if check.below is None else f"{less} {number(check.below, language)}"


def with_unit(value: float, check: Any, language: str) -> str:
    """A number with the unit of its check."""
    return f"{number(value, language)} {check.unit.to(language)}".strip()


def spread(finding: Any, language: str) -> str:
    """The interval, or the range of all seeds where every one counts."""
    if finding.check.every:
        ends = dict.fromkeys(number(each, language) for each in (finding.values.min(), finding.values.max()))
        return f"{word('every', language)}: {' … '.join(ends)}"
    return interval(finding.low, finding.high, language)


def interval(low: float, high: float, language: str) -> str:
    """From … to; nothing where a single value, or one that is no number, gives none."""
    return f"{number(low, language)} … {number(high, language)}" if np.isfinite(low) else ""


def seconds(result: Any) -> tuple[float, float | None]:
    """(CPU seconds of all seeds, about what the reference would take)."""
    took = float(np.sum(result.record.cpu.get("", [0.0])))
    ratio = result.record.reference_ratio
    return took, None if ratio is None or result.record.backend == "ref" else took * ratio


def broken(result: Any, language: str) -> str:
    """What became of the mutation."""
    mutation = result.experiment.mutations[result.record.broken]
    return f"{result.record.broken}: {word('caught' if result.caught else 'not caught', language)} {mutation.caught_by}"


def summary(result: Any, language: str) -> str:
    """The result as lines of text, a table of its checks."""
    took, _ = seconds(result)
    rows = [[f.check.name, with_unit(f.mean, f.check, language), spread(f, language), limits(f.check, language),
             word(f.verdict, language)] for f in result.findings]
    head = f"{result.experiment.name}: {word(result.verdict, language)}, " \
           f"{count_of_seeds(len(result.record.seeds), language)}, " \
           f"{decimal(f'{took:.2f}', language)} {word('cpu', language)}"
    lines = [head, result.experiment.claim.to(language), *aligned(rows)]
    if result.record.predicted is not None:
        lines.append(f"{word('predicted', language)}: {number(result.record.predicted, language)}; "
                     f"{word('measured', language)}: {number(result.findings[0].mean, language)}")
    if result.record.broken:
        lines.append(broken(result, language))
    if len(result.record.seeds) == 1:
        lines.append(word("one", language))
    return "\n".join(lines)


def overview(results: Sequence[Any], language: str) -> str:
    """A line for each result: its main number, and its verdict."""
    head = [word(each, language) for each in ("concept", "effect", "interval", "threshold", "seeds", "cpu", "verdict")]
    rows = [head]
    for each in results:
        first = each.findings[0]
        rows.append([each.experiment.name, with_unit(first.mean, first.check, language), spread(first, language),
                     limits(first.check, language), str(len(each.record.seeds)),
                     decimal(f"{seconds(each)[0]:.2f}", language), word(each.verdict, language)])
    bad = [f"{each.experiment.name}: {word(f.verdict, language)} {f.check.name}: {f.check.text.to(language)}"
           for each in results for f in each.findings if f.verdict in ("FAIL", INCONCLUSIVE)]
    return "\n".join([*aligned(rows), *bad])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
