"""Each mutant of tests/mutants.py has its place in the source, once, and a test that exists. They do not run here."""

import re

from tests.mutants import MUTANTS, ROOT
from tests.pairwise import every


@every(mutant=MUTANTS)
def test_has_a_place(mutant):
    assert (ROOT / mutant.path).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    file, _, function = mutant.test.partition("::")
    assert re.search(rf"^def {function or 'test_'}", (ROOT / file).read_text("utf-8"), re.MULTILINE)


def test_there_are_enough():
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
