"""The lab: verdicts follow from numbers, every bug is caught by the check that names it, reports are whole pages."""

import hashlib
import io
import json
import re
import sys
import weakref
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import fastnn
from fastnn import cli, lab
from fastnn.lab import evidence, experiments, picture, report, words
from fastnn.lab.trial import gap

QUICK = "gradient_descent"
MUTATIONS = [(name, mutation) for name in lab.NAMES for mutation in lab.find(name).mutations]


EPOCHS = {"early_stopping": 60, "label_smoothing": 12, "l1_sparsity": 12, "l1_features": 200}      # 3 for the others


def short(name):
    """The experiment with fewer epochs: enough for what every seed must show, and for bugs to be seen."""
    found = lab.find(name)
    return replace(found, setup={**found.setup, **({"epochs": EPOCHS.get(name, 3)} if "epochs" in found.setup else {})})


def values_of(verdict, n=12):
    """Numbers that lie above 1, below 1, or around it."""
    return np.random.default_rng(0).normal({"PASS": 3, "FAIL": -1, "INCONCLUSIVE": 1}[verdict], 0.5, n)


@pytest.fixture(scope="module")
def quick():
    return lab.run(QUICK, seeds=3)


# ---- from numbers to verdicts ----


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE"])
@pytest.mark.parametrize("side", ["above", "below"])
def test_a_mean_is_compared_with_its_threshold(verdict, side):
    values = values_of(verdict) if side == "above" else 2 - values_of(verdict)
    found, = evidence.judge([(lab.Check("c", "c", "v", **{side: 1}), values)])
    assert found.verdict == verdict
    assert found.low < values.mean() < found.high
    assert found.misleading == ((values < 1) != (values.mean() < 1)).sum()      # seeds that contradict the mean


def test_the_interval_and_p_are_students():
    """Student's own example (1908): the hours of sleep that one drug gives more than another, t = 4.06."""
    more = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert evidence.interval(more) == pytest.approx((0.70, 2.46), abs=0.005)
    assert evidence.p_value(more, 0) == pytest.approx(0.00283, abs=1e-5)


def test_holm_from_the_definition():
    """The k-th smallest of m is compared with α / (m − k + 1)."""
    p = [0.3, 0.014, 0.001, 0.012]              # Bonferroni's 0.05/4 for each would miss the second
    rejected = [False] * 4
    for k, index in enumerate(np.argsort(p)):
        if p[index] > 0.05 / (4 - k):
            break
        rejected[index] = True
    assert rejected == [False, True, True, True]
    assert [each <= 0.05 for each in evidence.holm(p)] == rejected


def test_a_band_has_two_ends():
    check = lab.Check("c", "c", "v", above=0, below=1)
    for mean, verdict in ((0.5, "PASS"), (-1, "FAIL"), (2, "FAIL"), (1, "INCONCLUSIVE")):
        found, = evidence.judge([(check, mean + 0.1 * np.array([-1.0, 1, -1, 1, -1, 1, -1, 1]))])
        assert found.verdict == verdict, mean


def test_every_seed_counts_where_it_says_so():
    exact = lab.Check("c", "c", "v", above=0, below=0, every=True)
    assert [evidence.judge([(exact, np.array(each))])[0].verdict for each in ([0.0, 0.0], [0.0, 1e-300])] == \
        ["PASS", "FAIL"]


def test_nan_fails_and_one_seed_decides_nothing():
    check = lab.Check("c", "c", "v", above=0)
    assert evidence.judge([(check, np.array([1.0, np.nan]))])[0].verdict == "FAIL"
    assert evidence.judge([(check, np.array([1.0]))])[0].verdict == "INCONCLUSIVE"
    for every in (False, True):     # a mean of NaN that passes: and from a file, where there is no infinity, it failed
        above = lab.Check("c", "c", "v", above=0, every=every)
        assert evidence.judge([(above, np.array([1.0, np.inf]))])[0].verdict == "FAIL"
    assert evidence.judge([(lab.Check("c", "c", "v"), np.array([1.0, 2.0]))])[0].verdict == "SHOWN"


def test_more_claims_need_more_evidence():
    check, values = lab.Check("c", "c", "v", above=0), np.array([0.7, 1.5, 0.9, 0.4, 1.1])
    alone = evidence.judge([(check, values)])[0]
    among = evidence.judge([(check, values)] * 20)[0]
    assert (alone.verdict, among.verdict) == ("PASS", "INCONCLUSIVE") and among.p == pytest.approx(20 * alone.p)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"above": 2, "below": 1}, "above: expected at most below"), ({"role": "x"}, "role: "), ({"text": 3}, "text: "),
])
def test_a_check_that_makes_no_sense(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        lab.Check(**{"name": "c", "text": "c", "value": "v"} | wrong)


def mine(trial=lambda trial: {"a": 1.0}, **options):
    """An experiment of a reader's own."""
    found = {"name": "mine", "claim": "c", "trial": trial, "checks": [lab.Check("a", "a", "a")]}
    return lab.Experiment(**found | options)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"name": "a/b"}, "name: expected a text that can name the file"), ({"name": ""}, "name: "),
    ({"trial": 3}, "trial: expected a function, got 3"), ({"control": 0.0}, "control: expected a function"),
    ({"picture": "x"}, "picture: expected a function"), ({"setup": ["lr"]}, "setup: expected a dict, got list"),
    ({"mutations": ["m"]}, "mutations: expected a dict, got list"),
    ({"mutations": {"m": "text"}}, r"mutations\['m'\]: expected a Mutation, got 'text'"),
    ({"mutations": {"m": (3, "a")}}, r"mutations\['m'\].text: expected a string"),
    ({"mutations": {"m": ("text", "b")}}, r"mutations\['m'\].caught_by: "),
    ({"checks": lab.Check("a", "a", "a")}, "checks: expected a list of Check, got Check"),
    ({"checks": [("a", "a", "a")]}, "checks: expected a list of Check"),
])
def test_an_experiment_that_makes_no_sense(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mine(**wrong)


def test_a_difference_is_that_of_two():
    """A third number was left out without a word."""
    with pytest.raises(ValueError, match=r"value: expected the name of a measured number, or \"a - b\" of two, got"):
        lab.Check("a", "a", "a - b - c")


@pytest.mark.parametrize(("found", "message"), [
    (None, "mine: expected trial to return a dict of numbers by name, got None"), ([1.0], "a dict of numbers"),
    ({"a": np.ones(3)}, "a number by each name, got 'a': array"), ({"a": "1"}, "got 'a': '1'"),
    ({1: 1.0}, "got 1: 1.0"),
])
def test_what_a_trial_returns(found, message):
    with pytest.raises(TypeError, match=message):
        lab.run(mine(lambda trial: found), seeds=1)
    assert lab.run(mine(lambda trial: {"a": np.array(2)}), seeds=1).values("a") == [2]


def test_a_name_that_was_not_measured():
    result = lab.run(mine(lambda trial: trial.curve("row", [1.0]) or {"a": 1.0}), seeds=1)
    with pytest.raises(KeyError, match="no number 'b' was measured; there are 'a'"):
        result.values("a - b")
    with pytest.raises(KeyError, match="no curve 'a' was measured; there are 'row'"):
        result.curve("a")


def test_a_mutation_may_have_one_text():
    found = mine(lambda trial: {"a": -1.0 if trial.broken else 1.0}, checks=[lab.Check("a", "a", "a", above=0)],
                 mutations={"sign": ("a wrong sign", "a")})
    result = lab.run(found, seeds=2, broken="sign")
    assert result.caught and "a wrong sign" in report.page(result, "ru")


@pytest.mark.parametrize(("wrong", "message"), [
    ({"n": 1199}, "n: expected an integer >= 1 and <= 1198, got 1199"), ({"n": 0}, "n: "),
    ({"n": 1000, "validation": 199}, "validation: expected at most 198 beside n = 1000, of 1198 in all, got 199"),
    ({"n": 10, "wrong_labels": 30}, "wrong_labels: expected a finite number >= 0 and <= 1, got 30"),
])
def test_digits_that_there_are_not(wrong, message):
    """Fewer were returned than asked for."""
    with pytest.raises(ValueError, match=message):
        lab.Trial(fastnn, 0).digits(**wrong)
    data = lab.Trial(fastnn, 0).digits(1000, validation=198)
    assert (len(data.x), len(data.x_validation)) == (1000, 198)


def test_reports_of_one_name(tmp_path, capsys):
    """One would stand in the other's place: a copied file of which the name was not changed."""
    result = lab.run(mine(), seeds=1)
    with pytest.raises(ValueError, match="got several of mine"):
        lab.save_html([result, result], tmp_path / "site")
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(
            "from fastnn import lab\nexperiment = lab.Experiment(name='mine', claim='c', "
            "trial=lambda trial: {'a': 1.0}, checks=[lab.Check('a', 'a', 'a')])\n")
    files = [str(tmp_path / "a.py"), str(tmp_path / "b.py")]
    assert cli.main(["lab", "run", *files, "--seeds", "1", "--html", str(tmp_path / "site")]) == 2
    assert "--html: expected experiments of different names, got several of mine" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
    with pytest.raises(ValueError, match="got several of index"):
        lab.save_html([result, lab.run(mine(name="index"), seeds=1)], tmp_path / "site")
    names = ("C# or <C>?", "a:b & c")
    files = lab.save_html([lab.run(mine(name=name), seeds=1) for name in names], tmp_path / "site")
    links = re.findall('<a href="([^"]*)"', files[-1].read_text())
    assert [unquote(each) for each in links] == [file.name for file in files[:-1]]
    assert not set("#?:&") & set("".join(links))


# ---- experiments ----


@pytest.mark.parametrize("name", lab.NAMES)
def test_an_experiment_is_complete(name):
    found = lab.find(name)
    said = [found.claim, found.question, found.limits, found.alt, *(each.text for each in found.checks),
            *(each.text for each in found.mutations.values())]
    assert all(text.en and text.ru for text in said)
    assert all(re.search("[а-я]", text.ru) and not re.search("[а-я]", text.en) for text in said)
    assert found.name == name and found.sources and len(found.mutations) >= 2
    assert any(each.role == "limit" for each in found.checks)


@pytest.mark.slow
@pytest.mark.parametrize("name", lab.NAMES)
def test_what_every_seed_must_show(name):
    """The control at strength zero, both packages after 20 steps, and the experiment's own exact checks."""
    result = lab.run(short(name), seeds=1, first_seed=500)
    exact = [each for each in result.findings if each.check.every]
    assert [each.check.name for each in exact if each.verdict != "PASS"] == []
    assert result.record.agreement is not None
    ElementTree.fromstring(report.page(result, "ru").removeprefix("<!doctype html>"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mutation"), MUTATIONS, ids=[f"{name}-{mutation}" for name, mutation in MUTATIONS])
def test_a_bug_is_caught_by_the_check_that_names_it(name, mutation):
    """In the engine. What every seed must show needs one seed; a mean needs several."""
    by = lab.find(name).mutations[mutation].caught_by
    every = all(check.every for check in lab.find(name).checks if check.name == by)
    result = lab.run(short(name), seeds=1 if every else 4, broken=mutation)
    assert result.caught, words.summary(result, "en")


def test_a_bug_runs_in_the_reference_too():
    assert lab.run(short("dropout"), seeds=1, broken="mask-left-out", backend="ref").caught


@pytest.mark.parametrize("backend", ["fast", "ref"])
def test_a_forward_pass_by_hand(backend):
    """x = (1, 2): u = ± ln 3, h = 3/4 and 1/4, u = ln 8 − ln 4 + ln 2 = ln 4, y = 4/5."""
    result = lab.run("forward_by_hand", seeds=2, backend=backend)
    assert np.abs(result.values("y") - 0.8).max() < 1e-12 and result.values("any").max() < 1e-12


# ---- the runner ----


@pytest.mark.slow
def test_numbers_do_not_depend_on_threads_nor_on_company(quick):
    alone = lab.run(QUICK, seeds=3, threads=1)
    assert alone.record.values == quick.record.values and alone.record.data == quick.record.data
    assert alone.record.curves == quick.record.curves
    assert lab.run(QUICK, seeds=2, first_seed=1).record.values["safe"] == quick.record.values["safe"][1:]


def weights_of_both(arms):
    """An experiment whose models have these weights: arm → (in the engine, in the reference)."""
    def trial(trial):
        for arm, pair in arms.items():
            model = trial.models[arm] = trial.nn.Sequential(trial.nn.Linear(2, 1), seed=0, dtype="float64")
            model.layers[0].weight[...] = pair[trial.nn.__name__ == "fastnn_ref"]
        return {"x": sys.getswitchinterval()}

    return lab.Experiment(name="two", claim="A claim.", trial=trial, checks=[lab.Check("x", "x", "x")])


@pytest.mark.parametrize(("arms", "apart"), [
    ({"a": (1.0, 1.0), "b": (2.0, 2.0)}, 0), ({"a": (1.0, 1.0), "b": (2.0, 3.0)}, 1 / 2),
    ({"a": (0.25, 0.5), "b": (1e13, 2e13)}, 0.25), ({"a": (1.0, 1.0), "b": (5.0, 1e13)}, 2e12),
    ({"a": (1e13, 2e13)}, 0),
])
def test_packages_agree_in_every_arm_that_has_not_diverged(arms, apart):
    """Relative to the engine's largest weight, absolute below 1; diverged is what is above 1e12 in both packages."""
    assert lab.run(weights_of_both(arms), seeds=1).record.agreement == pytest.approx(apart, rel=1e-6, abs=1e-12)


def test_threads_take_turns_often_only_while_the_lab_runs():
    before = sys.getswitchinterval()
    assert lab.run(weights_of_both({"a": (1.0, 1.0)}), seeds=1).values("x")[0] == pytest.approx(before / 50)
    assert sys.getswitchinterval() == before


def test_all_arms_begin_with_the_same_weights():
    import fastnn as nn

    trial = lab.Trial(nn, 5)
    plain = trial.model([nn.Linear(64, 8), nn.Linear(8, 10)])
    other = trial.model([nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 10)])
    assert (plain.layers[0].weight == other.layers[0].weight).all()
    assert (plain.layers[1].weight == other.layers[3].weight).all()
    deep = trial.model([nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10)])           # pairs of its own
    other = trial.model([nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Linear(8, 10)])
    assert (deep.layers[1].weight == other.layers[2].weight).all()
    assert not (plain.layers[0].weight == lab.Trial(nn, 6).model([nn.Linear(64, 8)]).layers[0].weight).all()


def test_gap():
    a = np.array([1.0, np.nan, np.inf])
    assert gap(a, a) == 0 and gap(a, np.array([1.5, np.nan, np.inf])) == 0.5
    assert gap(a, np.zeros(3)) > 1e300


def noise(name="noise", mean=1.0, **more):
    return lab.Experiment(
        name=name, claim="The mean of normal numbers is above 1.", question="What is the mean?",
        trial=lambda trial: {"mean": trial.random.normal(mean)}, checks=[lab.Check("mean", "mean", "mean", above=1)],
        **more)


def test_what_is_not_decided_gets_more_seeds_up_to_a_cap():
    assert len(lab.run(noise(mean=1.0), seeds=4).record.seeds) == 16
    assert len(lab.run(noise(mean=9.0), seeds=4).record.seeds) == 4
    assert lab.run(noise(mean=1.0), seeds=1).record.seeds == [0]


def test_a_budget_leaves_every_experiment_two_seeds():
    results = lab.run_all([noise("a"), noise("b")], seeds=50, budget=0)
    assert [len(each.record.seeds) for each in results] == [2, 2]


def test_an_error_says_which_seed():
    def trial(trial):
        return {"c": 0.0, "v": 1 / (1 - trial.seed)}

    with pytest.raises(ZeroDivisionError) as caught:
        lab.run(lab.Experiment(name="bad", claim="", trial=trial, checks=[lab.Check("c", "c", "v")]), seeds=2)
    assert caught.value.__notes__ == ["in the experiment bad, seed 1"]
    with pytest.raises(ValueError, match="bad: expected trial to return v, got w"):
        lab.run(lab.Experiment(name="bad", claim="", trial=lambda trial: {"w": 1}, checks=[lab.Check("c", "c", "v")]))


def test_an_error_says_where_in_your_file(capsys, tmp_path):
    """A ValueError of a reader's own is one line: without its place nobody finds it."""
    path = tmp_path / "own.py"
    path.write_text((MINE % (1, 1)).replace("trial.random", "float('x') or trial.random"))
    assert run("run", path, "--seeds", 1) == 1
    assert "could not convert string to float: 'x' (in the experiment mine, seed 0, line " in capsys.readouterr().err
    path.write_text("\n\nint('x')\n")
    assert run("run", path) == 2
    assert f"with base 10: 'x' (in the experiment of {path}, line 3)" in capsys.readouterr().err


def test_a_file_with_a_dataclass(tmp_path):
    """Its annotations, which are texts there, are looked up in the module."""
    before = sys.modules.get("random")
    for name in ("mine_alone", "random"):                           # of one name there is a module
        path = tmp_path / f"{name}.py"
        path.write_text("from __future__ import annotations\nfrom dataclasses import dataclass\n"
                        "@dataclass\nclass Mine:\n    a: int = 1\n" + MINE % (1, 1))
        assert lab.find(str(path)).name == "mine"
    assert sys.modules.get("random") is before


@pytest.mark.parametrize("name", ["control", "agreement"])
def test_names_of_the_lab_s_own(name):
    """An arm called control had the number of the experiment's control, and agreement was that of the packages."""
    found = mine(lambda trial: {"a": 60.0, name: 50.0}, control=lambda trial: 0.0)
    with pytest.raises(ValueError, match=f"mine: expected trial to return other names than {name}, which the lab"):
        lab.run(found, seeds=2)
    with pytest.raises(ValueError, match=f"checks: expected other names than {name}, a check of the lab's own"):
        mine(checks=[lab.Check(name, "a", "a")], control=lambda trial: 0.0)
    found = mine(lambda trial: {"a": 60.0, "control": 50.0}, checks=[lab.Check("control", "a", "a - control")])
    assert lab.run(found, seeds=2).findings[0].mean == 10


def test_a_budget_holds_for_any_number_of_seeds():
    """Of as many seeds neither a list is made nor does any look for its place in one."""
    result = lab.run(noise(), seeds=2**40, budget=0)
    assert result.record.seeds == [0, 1]
    for wrong in {"seeds": 2**61}, {"first_seed": 2**63}:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected an integer >= . and <= "):
            lab.run(noise(), **wrong)


def test_models_of_seeds_before_are_gone():
    kept = weakref.WeakSet()

    def trial(trial):
        alive.append(len(kept))
        trial.models["a"] = trial.model([trial.nn.Linear(2, 2)])
        kept.add(trial.models["a"])
        return {"a": 1.0}

    alive = []
    lab.run(mine(trial), seeds=20, threads=1)
    assert len(alive) == 22 and max(alive) < 5


# ---- what is shown ----


def test_any_configuration_can_be_kept(tmp_path):
    """It was an error after the run, which may take hours."""
    setup = {"n": np.int64(3), "w": np.arange(2), "kind": fastnn.ReLU, "many": {1: [np.float32(0.5), {2}]}, "m": sys}
    result = lab.run(mine(setup=setup), seeds=2)
    lab.save([result], tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())["results"][0]["setup"]
    assert found == {"n": 3, "w": [0, 1], "kind": str(fastnn.ReLU), "many": {"1": [0.5, "{2}"]}, "m": str(sys)}


def test_a_mutation_that_is_there_no_more(tmp_path):
    result = lab.run(QUICK, seeds=2, broken="uphill")
    result.record.broken = "another"
    lab.save([replace(result, findings=[])], tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"got another one .broken: unknown name 'another'"):
        lab.load(tmp_path / "a.json")


@pytest.mark.slow
def test_files(quick, tmp_path):
    lab.save([quick], tmp_path / "a.json")
    again, = lab.load(tmp_path / "a.json")
    assert again.record == quick.record and str(again) == str(quick)
    assert report.page(again) == report.page(quick)
    (tmp_path / "b.json").write_text('{"format": "x"}')
    with pytest.raises(ValueError, match=r"b.json: expected a JSON file of fastnn lab run"):
        lab.load(tmp_path / "b.json")


@pytest.mark.parametrize(("where", "value", "message"), [
    (("values", "safe", 0), "fast", "values['safe']: expected a number, got 'fast'"),
    (("values", "safe"), [1.0], "safe: expected a number for each of 3 seeds, got 1"),
    (("cpu",), None, "cpu: expected an object, got None"),
    (("cpu", ""), ["1"], "cpu['']: expected a number, got '1'"),
    (("curves", "safe"), {}, "curves['safe']: expected a list, got {}"),
    (("seeds",), None, "seeds: expected a list, got None"),
    (("predicted",), "0.5", "predicted: expected a number, got '0.5'"),
    (("reference_ratio",), [2], "reference_ratio: expected a number, got [2]"),
    pytest.param(("agreement",), 10**400, "too large", id="too large"),
    (("command",), 1, "command: expected a text, got 1"),
    (("wall",), True, "wall: expected a number, got True"),
])
def test_a_file_that_was_edited(quick, tmp_path, capsys, where, value, message):
    """An error says what is wrong with it."""
    path = tmp_path / "a.json"
    lab.save([quick], path)
    document = json.loads(path.read_text())
    inside = document["results"][0]
    for each in where[:-1]:
        inside = inside[each]
    inside[where[-1]] = value
    path.write_text(json.dumps(document))
    assert run("replay", path) == 1
    said = capsys.readouterr().err
    assert "a.json: expected a JSON file of fastnn lab run, got another one (" in said and message in said


def test_a_curve_that_is_not_finite_can_be_kept(quick, tmp_path):
    curves = {"safe": [[1.0, np.inf], [1.0, 2.0]]}
    lab.save([replace(quick, record=replace(quick.record, curves=curves))], tmp_path / "a.json")
    again, = lab.load(tmp_path / "a.json")
    assert again.curve("safe").tolist()[1] == [1.0, 2.0] and np.isnan(again.curve("safe")[0, 1])


def test_a_result_keeps_the_hash_of_its_experiment(quick, tmp_path):
    """It tells a result that is stale; an experiment that stands in no file has none."""
    source = Path(experiments.__file__).with_name(f"{QUICK}.py")
    assert quick.record.file_hash == hashlib.sha256(source.read_bytes()).hexdigest()
    path, text = tmp_path / "mine.py", "from fastnn import lab\nexperiment = lab.Experiment(name='mine', claim='c', " \
        "trial=lambda trial: {'a': 1.0}, checks=[lab.Check('a', 'a', 'a', above=0)])\n"
    path.write_text(text)
    before = lab.run(path, seeds=2).record
    assert before.file_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(text.replace("1.0", "2.0"))
    assert before.file_hash != lab.find(str(path)).file_hash
    scope = {}
    exec(text, scope)
    assert scope["experiment"].file_hash == ""


def test_compare_pairs_equal_seeds(quick):
    later = lab.run(QUICK, seeds=3, first_seed=3)
    line = next(line for line in lab.compare([quick], [later]).splitlines() if " safe " in line)
    a, b = quick.values("safe"), later.values("safe")
    assert words.number(b.mean() - a.mean()) in line
    assert "0 … 0" in lab.compare([quick], [quick])
    assert "inf" not in lab.compare([quick], [quick])           # agreement is one value, which has no interval
    with pytest.raises(ValueError, match="in common"):
        lab.compare([quick], [])


@pytest.mark.slow
@pytest.mark.parametrize("language", lab.experiment.LANGUAGES)
def test_a_report_is_one_whole_page(quick, language):
    text = report.page(replace(quick, record=replace(quick.record, predicted=-2.0)), language)
    page = ElementTree.fromstring(text.removeprefix("<!doctype html>"))
    assert page.get("lang") == language
    assert not re.search(r'(src|href)="(https?:)?//', text) and "url(http" not in text
    pictures = [each for each in page.iter() if each.tag.endswith("svg")]
    assert len(pictures) == 2
    for each in pictures:
        assert each.get("role") == "img" and each[0].text and each[1].text and each.get("aria-label")
    assert picture.INK not in text and "prefers-color-scheme:dark" in text and "@media print" in text
    assert {each.get("scope") for each in page.iter("th")} == {"col", "row"}
    for wanted in (quick.record.command, quick.record.data[:16], "numpy", words.word("predicted", language), "−2"):
        assert wanted in text


def numbers_with_a_point(text):
    """The numbers of a text that have a decimal point; versions, names of files and of instruction sets are none."""
    return re.findall(r"(?<![\w.,-])[−-]?\d+\.\d+(?![\w.])", text)


def test_russian_numbers_have_a_comma():
    """Tables, pictures, their descriptions, and what is printed."""
    found = lab.Experiment(
        name="fractions", claim=lab.Text("One half.", "Половина."),
        setup={"lr": 0.25, "scales": [0.5, 1], "name": "1.5", "augment": {"zoom": 0.1}},
        trial=lambda trial: trial.curve("row", [0.5, 0.75, 1.5]) or {
            "half": 0.5 + trial.random.normal() / 100, "fixed": 0.125},
        checks=[lab.Check("half", lab.Text("a half", "половина"), "half", above=0.25, below=0.75, unit="%"),
                lab.Check("fixed", lab.Text("an eighth", "восьмая"), "fixed", above=0.125, below=0.125, every=True)],
        picture=lab.curves({"row": "x"}, x=lab.Text("step", "шаг"), y=lab.Text("value", "значение"), xticks=[1, 2],
                           xticklabels=["0.9", "one"]))
    result = lab.run(found, seeds=4, predicted=0.7)
    result.record.reference_ratio, result.record.versions = 2.5, {"numpy": "2.4.6"}
    page = ElementTree.fromstring(report.page(result, "ru").removeprefix("<!doctype html>"))
    texts = [*page.find("body").itertext(), *(each.get("aria-label", "") for each in page.iter())]
    said = "\n".join([*texts, report.index_page([result], "ru").split("<body>")[1], words.summary(result, "ru"),
                      words.overview([result, result], "ru"), lab.compare([result], [result], "ru")])
    assert numbers_with_a_point(said) == ["1.5"]                    # the setting that is a text
    for each in ("0,25 … 0,75", "= 0,125", "[0,5; 1]", "zoom: 0,1", "0,9", "0,7", "versions", "2.4.6"):
        assert (each in said) == (each != "versions"), each
    axes = [text for text in texts if re.fullmatch(r"\s*[−-]?\d+,\d+\s*", text)]
    assert len(axes) > 8 and {"0,9", "1,2"} <= set(axes)
    assert numbers_with_a_point(words.summary(result, "en")) and "0,5" not in report.page(result, "en")


def test_a_picture_is_described_as_what_it_may_not_show(quick):
    """It describes a claim that holds; with a bug put in, or another verdict, figures say otherwise."""
    alt = quick.experiment.alt
    assert words.described(quick, "en") == alt.en and f"<figcaption class=\"quiet\">{alt.en}" in report.page(quick)
    broken, open_ = lab.run(QUICK, seeds=3, broken="uphill"), lab.run(QUICK, seeds=1)
    for result, said in (broken, ("Without the bug", "Без этой ошибки")), (open_, ("If the claim", "Если бы")):
        for language, begin in zip(lab.experiment.LANGUAGES, said, strict=True):
            text = report.page(result, language)
            described = words.described(result, language)
            assert described.startswith(begin) and described.endswith(alt.to(language))
            assert f">{described}</figcaption>" in text and f"<desc>{described}</desc>" in text
    assert words.described(replace(broken, experiment=replace(broken.experiment, alt="")), "en") == ""


def test_a_configuration_in_words(tmp_path):
    """A text of it is in the language of the report; what a file was measured with stands as it was then."""
    found = lab.Experiment(
        name="words", claim="c", setup={"mask": lab.Text("one for a batch", "одна на пакет"), "lr": 0.5},
        trial=lambda trial: {"a": float(trial.setup.mask == "one for a batch")},
        checks=[lab.Check("a", "a", "a", above=1 - 1e-9, below=1 + 1e-9, every=True)])
    result = lab.run(found, seeds=2)
    assert result.verdict == "PASS" and result.record.setup == {"mask": "one for a batch", "lr": 0.5}
    assert words.configuration(result, "ru") == {"mask": "одна на пакет", "lr": "0,5"}
    assert words.configuration(result, "en") == {"mask": "one for a batch", "lr": "0.5"}
    assert "одна на пакет" in report.page(result, "ru") and "набор команд" in report.page(result, "ru")
    result.record.setup["mask"] = "one for a row"
    assert words.configuration(result, "ru")["mask"] == "one for a row"
    assert words.limits(found.checks[0]) == "1 ± 1e−09" and words.limits(found.checks[0], "ru") == "1 ± 1e−09"


@pytest.mark.parametrize("name", lab.NAMES)
def test_a_configuration_has_no_english_in_russian(name):
    found = lab.find(name)
    result = lab.Result(found, lab.runner.blank(found, "fast", "", None, 1, 0))
    for value in words.configuration(result, "ru").values():
        left = re.sub(r"'[^']*'|\w+: ", "", value)                 # names of settings
        assert not set(re.findall("[A-Za-z]{3,}", left)) - {"ReLU", "sigmoid", "float", "True"}, value


def test_no_text_becomes_html():
    evil = "<script>alert(1)</script>"
    found = lab.Experiment(name="evil", claim=evil, question=evil, limits=evil, alt=evil, sources=[evil],
                           setup={evil: evil}, trial=lambda trial: {"v": 1.0}, checks=[lab.Check(evil, evil, "v", 0)])
    text = report.page(lab.run(found, seeds=2))
    assert "<script" not in text
    ElementTree.fromstring(text.removeprefix("<!doctype html>"))


def test_a_legend_is_not_drawn_over_data():
    """It stands above the picture where lines leave no place for it inside."""
    from fastnn import plot

    for rows, above in (([0.0, 0, 0, 0], False), ([0.0, 10, 0, 10, 0, 10, 0, 10, 0, 10, 0, 10], True)):
        found = lab.Experiment(
            name="legend", claim="c", trial=lambda trial, rows=rows: trial.curve("row", rows) or {"a": 1.0},
            checks=[lab.Check("a", "a", "a")], picture=lab.curves({"row": "a name of some length"}, x="x", y="y"))
        ax = lab.run(found, seeds=2).plot(plot.new_figure(5, 3).add_subplot())
        ax.figure.draw_without_rendering()
        assert (ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1) == above


def test_pictures_in_python(quick):
    from fastnn import plot

    ax = plot.new_figure(4, 3).add_subplot()
    assert quick.plot(ax) is ax and len(ax.get_lines()) > 2
    ax = plot.new_figure(4, 3).add_subplot()
    assert lab.run(noise(), seeds=3).plot(ax) is ax and ax.collections
    ax = plot.new_figure(4, 3).add_subplot()
    assert lab.run(mine(lambda trial: {"a": np.nan}), seeds=3).plot(ax) is ax       # there is no finite number
    priced = mine(checks=[lab.Check("a", "a", "a", unit="$x_ and $")])
    assert "$x_ and $" in report.page(lab.run(priced, seeds=2))
    assert "<table" in quick._repr_html_()


# ---- the command ----

MINE = """
from fastnn import lab

def trial(trial):
    return {"largest": trial.random.normal(size=100).max()}

experiment = lab.Experiment(
    name="mine", claim="The largest of 100 is above %s.", trial=trial,
    checks=[lab.Check("largest", "the largest of 100", "largest", above=%s)])
"""


def run(*arguments):
    return cli.main(["lab", *map(str, arguments)])


def test_list(capsys):
    assert run("list", "--lang", "ru") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in lab.NAMES) and "активации" in shown


@pytest.mark.slow
def test_run_replay_compare(capsys, tmp_path):
    kept, page = tmp_path / "a.json", tmp_path / "a.html"
    assert run("run", "gradient-descent", "--seeds", 2, "--json", kept, "--html", page) == 0
    first = capsys.readouterr().out
    assert first.startswith("gradient_descent: PASS, 2 seeds") and page.read_text().startswith("<!doctype html>")
    assert run("replay", kept) == 0 and capsys.readouterr().out == first
    assert run("compare", kept, kept) == 0 and "monotone" in capsys.readouterr().out
    assert json.loads(kept.read_text())["results"][0]["verdict"] == "PASS"


@pytest.mark.slow
def test_your_own_file_and_exit_codes(capsys, tmp_path):
    good, bad, empty = (tmp_path / f"{name}.py" for name in ("good", "bad", "empty"))
    good.write_text(MINE % (1, 1))
    bad.write_text((MINE % (9, 9)).replace("mine", "other"))
    empty.write_text("")
    assert run("run", good, "--seeds", 4, "--json", tmp_path / "good.json") == 0
    assert run("replay", tmp_path / "good.json") == 0
    assert run("run", good, bad, "--seeds", 4, "--html", tmp_path / "site") == 1
    assert capsys.readouterr().err.endswith("error: FAIL: other\n")
    assert {each.name for each in (tmp_path / "site").iterdir()} == {"index.html", "mine.html", "other.html"}
    ElementTree.fromstring((tmp_path / "site" / "index.html").read_text().removeprefix("<!doctype html>"))
    assert run("run", good, "--json", good) == 2 and good.read_text() == MINE % (1, 1)
    assert "--json: expected another file" in capsys.readouterr().err
    assert run("run", empty) == 2 and "expected `experiment = lab.Experiment(...)`" in capsys.readouterr().err


@pytest.mark.slow
def test_break_and_predict(capsys, monkeypatch, tmp_path):
    assert run("run", QUICK, "--break", "uphill", "--seeds", 2) == 0
    assert "uphill: caught by monotone" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("−1,5\n"))
    assert run("run", QUICK, "--predict", "--seeds", 1, "--lang", "ru") == 0
    shown = capsys.readouterr().out
    assert "Читатель предсказал: −1,5" in shown and "--seeds 24" in shown


@pytest.mark.parametrize(("arguments", "message"), [
    (["do"], "ACTION: expected one of list, run, replay, compare, got 'do'"),
    (["run"], "WHAT: expected names of experiments"),
    (["run", "dropuot"], "experiment: unknown name 'dropuot', did you mean 'dropout'?"),
    (["run", QUICK, "--break", "x"], "--break: unknown name 'x'"),
    (["run", "all", "--break", "uphill"], "--break: expected one experiment"),
    (["run", QUICK, "--seeds", "0"], "--seeds: expected"),
    (["list", "--seeds", "3"], "--seeds: has an effect only with run"),
    (["replay"], "WHAT: expected one file"),
    (["compare", "x"], "WHAT: expected two files"),
])
def test_wrong_arguments(arguments, message, capsys):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (["--json", "none/a.json"], "--json: expected an existing folder, got 'none'"),
    (["--json", "."], "--json: expected a file, got the folder '.'"),
    (["--html", "none/a.html"], "--html: expected an existing folder, got 'none'"),
    (["--html", "."], "--html: expected a file, got the folder '.'"),
    (["--json", "lost"], "--json: expected a file that can be written, got 'lost'"),
    (["--html", "lost"], "--html: expected a file that can be written, got 'lost'"),
    ([QUICK, "--html", "file"], "--html: expected a folder for the reports of 2 experiments, got 'file'"),
    ([QUICK, "--html", "file/site"], "--html: expected a folder that can be written to, got "),
    (["--json", "a", "--html", "./a"], "--html: expected another file, got './a' for both"),
    (["dropout", "--json", "file", "--html", "file"], "--html: expected another file, got 'file' for both"),
])
def test_files_are_looked_at_before_the_run(arguments, message, capsys, monkeypatch, tmp_path):
    """A run may take hours: they are not to be lost at its end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "lost").symlink_to("none/file")
    monkeypatch.setattr(lab, "run_all", lambda *given, **named: pytest.fail("it ran"))
    assert run("run", QUICK, *arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "lost"]


@pytest.mark.parametrize("typed", ["nan", "inf", ""])
def test_a_prediction_is_a_number(typed, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
    monkeypatch.setattr(lab, "run_all", lambda *given, **named: pytest.fail("it ran"))
    assert run("run", QUICK, "--predict") == 2
    assert f"--predict: expected a number on standard input, got '{typed}'" in capsys.readouterr().err


@pytest.mark.slow
def test_results_may_go_to_a_device():
    assert run("run", QUICK, "--seeds", 1, "--json", "/dev/null", "--html", "/dev/null") == 0
