"""Every example in a docstring and in README runs and says what it says it does."""

import doctest
import importlib
import importlib.util
import inspect
import itertools
import json
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
import fastnn_ref

ROOT = Path(__file__).parents[1]
PARSER = doctest.DocTestParser()


def modules(package):
    yield package.__name__
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            yield found.name


def documented(thing, name):
    """(name, docstring) of a module, of what it defines, and of that one's methods."""
    if thing is None:
        return
    yield name, inspect.getdoc(thing)
    for key, value in vars(thing).items():
        if getattr(value, "__module__", None) == (thing.__name__ if inspect.ismodule(thing) else thing.__module__):
            if inspect.isclass(value):
                yield from documented(value, f"{name}.{key}")
            elif callable(value):
                yield f"{name}.{key}", inspect.getdoc(value)


def imported(module):
    """The module; None where a package of an extra that tests do without is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise


for public in fastnn.__all__:
    getattr(fastnn, public)             # a compiled class gets its docstrings when a name of fastnn is used first
OPTIONAL = {"torch": "fastnn.torch", "onnx": "fastnn.onnx"}         # package → whose examples need it
EXAMPLES = [
    (module, PARSER.get_doctest(inspect.cleandoc(text), {}, name, None, 0))
    for module in [*modules(fastnn_ref), *modules(fastnn)]
    for name, text in documented(imported(module), module)
    if text and ">>>" in text
]


@pytest.mark.parametrize(("module", "example"), EXAMPLES, ids=[example.name for _, example in EXAMPLES])
def test_docstring(module, example):
    """As it stands: it imports what it uses."""
    for package, whose in OPTIONAL.items():
        if module.startswith(whose):
            pytest.importorskip(package, reason=f"{package} is missing: its examples do NOT run")
    failures = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False).run(example, out=failures.append)
    assert not failures, "".join(failures)


def test_both_packages_have_examples():
    names = [example.name for _, example in EXAMPLES]
    for name in fastnn_ref.__all__:
        thing = getattr(fastnn, name)
        if inspect.isclass(thing) and thing.__module__.startswith("fastnn.") and name not in ("Activation", "Penalty"):
            assert any(found.endswith(f".{name}") and found.startswith("fastnn.") for found in names), name


@pytest.mark.parametrize("page", ["README.md", "docs/extending.md", "docs/lab.md", "docs/coming_from.md",
                                  "docs/shards.md"])
def test_page(page, tmp_path, monkeypatch):
    """Each block runs by itself; on the page about extensions, in either package."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    packages = ["fastnn", "fastnn_ref"] if page == "docs/extending.md" else ["fastnn"]
    for block, package in itertools.product(blocks, packages):
        exec(compile(block.replace("import fastnn as nn", f"import {package} as nn"), page, "exec"), {})


@pytest.mark.parametrize("page", ["docs/getting_started.md"])
def test_page_of_examples(page, tmp_path, monkeypatch):
    """The blocks of a page are one session, and show what they say they show."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```pycon\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    failures = []
    example = PARSER.get_doctest("\n".join(blocks), {}, page, page, 0)
    doctest.DocTestRunner(verbose=False).run(example, out=failures.append)
    assert blocks and not failures, "".join(failures)


def load(name):
    """A module of examples/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROGRAMS = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if "__main__" in path.read_text("utf-8"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("arguments", [["fastnn_ref"], ["--package", "reference"], ["ref", "20"]], ids=" ".join)
def test_a_program_refuses_what_it_does_not_know(name, arguments, monkeypatch, capsys):
    """Anything but "ref" ran the engine once, also a way to say "ref" that another program has."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    monkeypatch.syspath_prepend(ROOT / "examples")
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert caught.value.code == 2 and f"usage: {name}.py" in capsys.readouterr().err


def test_plain_python_is_the_reference():
    """Lists, without NumPy: five steps of a network with two layers give the reference's losses and weights."""
    plain = load("plain_python")
    model = fastnn_ref.Sequential(fastnn_ref.Linear(5, 7, activation="relu"), fastnn_ref.Linear(7, 3), seed=1)
    layers = [plain.Layer(each.weight.T.tolist(), each.bias.tolist(), relu=each is model[0]) for each in model.layers]
    random = np.random.default_rng(0)
    loss, optimizer = fastnn_ref.CrossEntropyLoss(), fastnn_ref.SGD(lr=0.5)
    for _ in range(5):
        x, t = random.normal(size=(6, 5)), random.integers(0, 3, 6)
        ours = plain.step(layers, x.tolist(), t.tolist(), lr=0.5)
        assert ours == pytest.approx(model.step(x, t, loss, optimizer), rel=1e-12)
    for ours, theirs in zip(layers, model.layers, strict=True):
        np.testing.assert_allclose(np.array(ours.weights).T, theirs.weight, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(ours.biases, theirs.bias, rtol=1e-11, atol=1e-13)


def test_the_tutorials_figures_are_of_its_programs(monkeypatch):
    """docs/tutorial.json was measured with the programs as they are."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    figures = json.loads((ROOT / "docs/tutorial.json").read_text("utf-8"))
    assert figures["sources"] == load("tutorial").sources()


@pytest.mark.slow
def test_text_noise_makes_robust(capsys):
    gain = load("text_noise").main(seeds=1)
    assert gain["mistyped"] > 0.02
    assert gain["clean"] > -0.02
    assert "points on mistyped sentences" in capsys.readouterr().out


@pytest.mark.slow
def test_image_networks_train(capsys):
    found = load("images").main(epochs=8)
    assert set(found) == {"resnet", "vgg"}
    assert min(found.values()) > 0.95
    assert capsys.readouterr().out.count("held-out digits") == 2


@pytest.mark.slow
def test_a_gan_learns_a_circle(capsys):
    error, sectors = load("gan").main(steps=800)
    assert error < 0.25 and sectors >= 10
    assert "of 12 sectors" in capsys.readouterr().out


@pytest.mark.slow
def test_wide_and_deep_know_rule_and_exceptions():
    found = load("wide_and_deep").main(epochs=30)
    assert found["wide and deep"] > max(found["wide"], found["deep"]) + 0.005


@pytest.mark.slow
def test_saliency_tells_which_pixels_count(capsys):
    accuracy, most, least = load("saliency").main(fastnn)
    assert accuracy > 0.9
    assert most > 0.2 and abs(least) < 0.05
    assert "most salient" in capsys.readouterr().out


def test_a_server_answers_while_its_model_is_trained(nn, capsys):
    accuracy, found = load("serving").main(nn, n=600, epochs=3)
    assert accuracy[0] < 0.3 and accuracy[1] > 0.7
    for numbers in found:
        assert numbers[0] >= 0 and numbers == sorted(numbers) and numbers[-1] == 3
    assert "answers that are of no predictor: 0\n" in capsys.readouterr().out


def test_a_server_answers_with_one_predictor_at_a_time(nn, monkeypatch):
    """Here it has another one each time it is asked for it."""
    example, x = load("serving"), np.random.default_rng(0).random((5, 8, 8))
    predictors = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10), seed=seed).predictor() for seed in (1, 2)]
    turns = itertools.cycle(predictors)
    monkeypatch.setattr(example.Server, "predictor", property(lambda _: next(turns), lambda *_: None), raising=False)
    with example.serving(None) as server:
        answers = [example.ask(server, x.tolist())[1] for _ in range(4)]
    for answer, predictor in zip(answers, predictors * 2, strict=True):
        assert answer == {"classes": predictor.predict_classes(x).tolist(),
                          "probabilities": predictor.predict_proba(x).tolist()}
    assert answers[0]["classes"] != answers[1]["classes"]
    mixed = answers[0] | {"classes": answers[1]["classes"]}
    assert example.numbers([*answers, mixed], predictors, x) == [0, 1, 0, 1, -1]


def test_a_server_refuses_what_is_no_list_of_images(nn):
    example = load("serving")
    predictor = example.net(nn).predictor()
    with example.serving(predictor) as server:
        for images in (None, {}, "seven", 7, [], [[1, 2], [3]], [[[0.5] * 7] * 8], [[0.5] * 8] * 8, [[[None] * 8] * 8]):
            with pytest.raises((TypeError, ValueError)) as caught:
                predictor.predict_proba(images)
            assert example.ask(server, images) == (400, {"error": str(caught.value)})
        status, found = example.ask(server, [[[float("nan")] * 8] * 8])
        assert status == 400 and "finite" in found["error"]
        assert example.ask(server, [[[0.5] * 8] * 8], "/")[0] == 404
        assert example.ask(server, [[[0.5] * 8] * 8])[0] == 200
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert example.reply(predictor, body)[0] == 400


@pytest.mark.slow
def test_a_character_mlp_beats_guessing(capsys):
    assert load("character_mlp").main(epochs=15) < 2.8
    assert "new names" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("net", ["pytorch", "keras"])
def test_introductory_networks_learn_digits(net):
    assert load("mnist_cnn").main(net, epochs=1 if net == "pytorch" else 2) > 0.85


@pytest.mark.slow
def test_class_weights_find_rare_events(capsys):
    found = load("imbalanced").main(epochs=10)
    assert found["class weights"]["recall"] > found["no weights"]["recall"] + 0.2
    assert "average_precision" in capsys.readouterr().out


def test_categories_help():
    found = load("structured").main(epochs=20)
    assert min(found.values()) > 0.85


@pytest.mark.slow
def test_an_autoencoder_beats_its_linear_rival(tmp_path):
    error, linear = load("autoencoder").main(epochs=40, picture=str(tmp_path / "digits.png"))
    assert error < 0.8 * linear
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_a_regression_stops_in_time():
    found = load("regression").main()
    assert found["early stopping"] > max(0.2, found["to the end"])


@pytest.mark.slow
def test_large_alpha_is_too_smooth(tmp_path):
    found = load("mlp_alpha").main(str(tmp_path / "alpha.png"), epochs=200)
    assert found["circles", 0.1] > found["circles", 10.0] + 0.2
    assert (tmp_path / "alpha.png").stat().st_size > 1000


def test_scikit_learns_program_with_another_import(capsys):
    there, here = load("sklearn_port").main(["diabetes"], seeds=1)["diabetes"]
    assert here > there - 0.02
    assert "diabetes" in capsys.readouterr().out
