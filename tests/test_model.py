"""Sequential: chaining, names, seeds, layers that move, prediction in pieces, one step."""

import copy
import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn_ref import CustomLayer
from tests.cases import LOSSES, MODELS, OPTIMIZERS
from tests.check import check_against_reference, check_gradient, close, normal, same, same_parameters
from tests.pairwise import beside, chequered

WIDTHS = st.lists(st.sampled_from([1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33]), min_size=2, max_size=5)


def net(nn, dtype="float64", seed=3):
    return nn.Sequential(nn.Linear(7, 17, activation="relu"), nn.Linear(17, 3), seed=seed, dtype=dtype)


@pytest.mark.parametrize("case", MODELS, ids=lambda c: c.name)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), dtype="float64"), normal(case.shape))


@pytest.mark.parametrize("case", MODELS, ids=lambda c: c.name)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


@given(
    widths=WIDTHS,
    n=st.sampled_from([1, 2, 7, 16, 33]),
    name=st.sampled_from(["relu", "gelu", "tanh", "softmax"]),
)
def test_engine_agrees_on_any_widths(ref, fast, widths, n, name):
    def make(nn):
        pairs = itertools.pairwise(widths)
        return nn.Sequential(*(nn.Linear(a, b, activation=name, init="glorot_uniform") for a, b in pairs))

    for dtype in ("float32", "float64"):
        engine, book = fast.Sequential(make(fast), dtype=dtype), ref.Sequential(make(ref), dtype=dtype)
        same_parameters(engine, book)
        book = ref.Sequential(make(ref), dtype="float64")
        book.load_state_dict(engine.state_dict())
        x = normal((n, widths[0]), dtype)
        y, want = engine.forward(x, training=True), book.forward(x, training=True)
        inner = sum(widths) + len(widths) + n
        close("layer", y, want, inner * np.abs(want).max() * np.ones_like(y))
        dy = normal(y.shape, dtype, seed=1)
        want = book.backward(dy)
        close("layer", engine.backward(dy), want, inner * max(np.abs(want).max(), 1e-3) * np.ones_like(x))


@pytest.mark.parametrize("case", MODELS, ids=lambda c: c.name)
def test_both_packages_start_from_the_same_bits(ref, fast, dtype, case):
    for seed in (0, 1, 2**64 - 1):
        same_parameters(
            fast.Sequential(case.make(fast), seed=seed, dtype=dtype),
            ref.Sequential(case.make(ref), seed=seed, dtype=dtype),
        )


def test_attributes(nn):
    layers = nn.Linear(7, 5), nn.ReLU()
    model = nn.Sequential(*layers, seed=9)
    assert isinstance(model.layers, tuple)
    assert [a is b for a, b in zip(model.layers, layers, strict=True)] == [True, True]
    assert model.seed == 9
    assert isinstance(model, nn.Layer)
    assert isinstance(model.layers[0], nn.Layer)
    assert (model.steps, model.epochs) == (0, 0)


def test_default_dtype(ref, fast):
    assert fast.Sequential(fast.Linear(2, 3)).dtype == np.float32
    assert ref.Sequential(ref.Linear(2, 3)).dtype == np.float64


def test_names_are_dotted(nn):
    inner = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3, bias=False))
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), inner)
    names = ["0.weight", "0.bias", "2.0.weight", "2.0.bias", "2.2.weight"]
    assert list(model.state_dict()) == names
    assert [name for name, *_ in model.parameters()] == names
    assert [decays for *_, decays in model.parameters()] == [True, False, True, False, True]
    assert [value.shape for _, value, _, _ in model.parameters()] == [(7, 5), (5,), (5, 4), (4,), (4, 3)]


def test_an_inner_model_gives_way(nn):
    """Seed and dtype of the outermost count."""

    def build(seed, dtype):
        return nn.Sequential(nn.Sequential(nn.Linear(3, 2), seed=seed, dtype=dtype), seed=8, dtype="float64")

    same_parameters(build(1, "float32"), build(2, "float64"))
    model = build(1, "float32")
    inner = model.layers[0]
    assert (inner.seed, inner.dtype) == (8, np.float64)
    assert inner(normal((1, 3))).dtype == np.float64  # also when the inner one is used first
    same_parameters(model, build(2, "float64"))
    assert build(1, "float32").state_dict()["0.0.weight"].dtype == np.float64


def test_output_shape(nn):
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    assert tuple(model.output_shape((7,))) == (3,)
    assert tuple(nn.Softmax().output_shape((2, 9))) == (2, 9)
    for layer in (model, model.layers[0]):
        with pytest.raises(ValueError, match=r"\(7,\)|7"):
            layer.output_shape((8,))


def test_a_trained_layer_moves(nn):
    """A layer that has values keeps them, rounded to the new model's dtype."""
    layer = nn.Linear(3, 2)
    layer.forward(normal((1, 3)))
    values = layer.weight.copy()
    model = nn.Sequential(layer, seed=5, dtype="float32")
    same(model.state_dict()["0.weight"], values.astype(np.float32))
    free = copy.deepcopy(layer)
    again = nn.Sequential(nn.ReLU(), free, seed=6, dtype="float64")
    same(again.state_dict()["1.weight"], values.astype(np.float32).astype(np.float64))
    again.layers[1].weight[...] = 0
    assert np.any(layer.weight != 0)


def test_predict_does_not_depend_on_the_chunks(nn, dtype):
    model = net(nn, dtype)
    x = normal((23, 7), dtype)
    whole = model(x)
    for size in (1, 2, 7, 22, 23, 24, 2**62):
        pieces = model.predict(x, batch_size=size)
        if nn.__name__ == "fastnn":
            same(pieces, whole)
        else:
            close("product", pieces, whole, 26 * (np.abs(whole) + np.abs(whole).max()))


def test_a_row_does_not_depend_on_the_batch(fast, isa, dtype):
    model = net(fast, dtype)
    x = normal((65, 7), dtype)
    whole = model(x)
    for i in (0, 13, 47, 64):
        same(model(x[i : i + 1]), whole[i : i + 1])


def test_predicting_changes_nothing(nn):
    model = net(nn)
    before = model.state_dict()
    model.predict(normal((3, 7)))
    model(normal((3, 7)))
    assert (model.steps, model.epochs) == (0, 0)
    for name, value in model.state_dict().items():
        same(value, before[name])


def test_batches_of_any_size_in_any_order(fast, dtype):
    """The plan for one batch size leaves nothing behind for the next."""
    for n in (1, 33, 2, 64, 5, 64):
        model, old = net(fast, dtype), net(fast, dtype)
        old.forward(normal((48, 7), dtype), training=True)
        x, dy = normal((n, 7), dtype), normal((n, 3), dtype, seed=1)
        same(old.forward(x, training=True), model.forward(x, training=True))
        same(old.backward(dy), model.backward(dy))


# A loss and an optimizer do not meet: one ends at the outputs' gradient, the other begins at the weights' gradients.
@chequered
@pytest.mark.parametrize(("loss", "optimizer"), beside(LOSSES, OPTIMIZERS))
def test_step_is_the_loop_by_hand(nn, dtype, loss, optimizer):
    whole, by_hand = net(nn, dtype), net(nn, dtype)
    one, two = optimizer.make(nn), optimizer.make(nn)
    rng = np.random.default_rng(0)
    for seed in range(3):
        x, t = normal((5, 7), dtype, seed), loss.targets(rng, 5, 3)
        value = whole.step(x, t, loss.make(nn), one)
        criterion = loss.make(nn)
        by_hand_value = criterion.forward(by_hand.forward(x, training=True), t)
        by_hand.backward(criterion.backward())
        two.step(by_hand)
        assert value == by_hand_value
        assert type(value) is float
        same_parameters(whole, by_hand)
    assert whole.steps == by_hand.steps == one.steps == 3


@chequered
@pytest.mark.parametrize(("loss", "optimizer"), beside(LOSSES, OPTIMIZERS))
def test_engine_steps_agree(ref, fast, dtype, loss, optimizer):
    """20 steps of every loss and of every optimizer."""
    engine, book = net(fast, dtype), net(ref)
    book.load_state_dict(engine.state_dict())
    one, two = optimizer.make(fast), optimizer.make(ref)
    a, b = loss.make(fast), loss.make(ref)
    rng = np.random.default_rng(0)
    for seed in range(20):
        x, t = normal((9, 7), dtype, seed), loss.targets(rng, 9, 3)
        value, want = engine.step(x, t, a, one), book.step(x, t, b, two)
        close("training", dtype.type(value), want, 20 * (abs(want) + 1))
    for name, want in book.state_dict().items():
        close(
            "training",
            engine.state_dict()[name],
            want,
            20 * max(np.abs(want).max(), 1) * np.ones_like(want),
            name,
        )


def test_nesting_does_not_change_a_step(nn):
    def layers():
        return nn.Linear(3, 7, activation="elu"), nn.Linear(7, 5), nn.SiLU(), nn.Linear(5, 1)

    a, b, c, d = layers()
    nested = nn.Sequential(a, nn.Sequential(b, nn.Sequential(c)), d, seed=2, dtype="float64")
    flat = nn.Sequential(*layers(), seed=2, dtype="float64")
    x, t = normal((4, 3)), normal((4, 1), seed=1)
    one, two = nn.Adam(), nn.Adam()
    for _ in range(3):
        assert nested.step(x, t, nn.MSELoss(), one) == flat.step(x, t, nn.MSELoss(), two)
    for got, want in zip(nested.state_dict().values(), flat.state_dict().values(), strict=True):
        same(got, want)


def test_summary(nn, capsys):
    text = net(nn).summary()
    assert isinstance(text, str)
    assert repr(text) == str(text)
    for word in ("Linear", "136", "54", "190"):  # 7·17 + 17, 17·3 + 3, both
        assert word in text
    assert capsys.readouterr().out == ""


def test_a_net_by_hand(nn):
    """2-2-1, every number by hand: u = (0.5, -1), h = (0.5, 0), y = 2; L = 1; dy = 2."""
    model = nn.Sequential(nn.Linear(2, 2, activation="relu"), nn.Linear(2, 1), dtype="float64")
    model.load_state_dict({"0.weight": [[1, -1], [0.5, 0]], "0.bias": [-1, 0], "1.weight": [[2], [7]], "1.bias": [1]})
    x, t = np.array([[1.0, 1.0]]), np.array([[1.0]])
    loss = nn.MSELoss()
    y = model.forward(x, training=True)
    assert y.tolist() == [[2.0]]
    assert loss(y, t) == 1.0
    assert model.backward(loss.backward()).tolist() == [[4.0, 2.0]]
    assert [g.tolist() for _, _, g, _ in model.parameters()] == [[[4, 0], [4, 0]], [4, 0], [[1], [0]], [2]]
    nn.SGD(lr=0.5).step(model)
    assert model.state_dict()["1.weight"].tolist() == [[1.5], [7.0]]


def image_layers(nn, inside):
    return nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(inside, 10)


def test_the_input_shape_is_checked_when_the_model_is_made(nn):
    """8 x 8 pixels give 6 x 6 of 4 channels, 144 values."""
    model = nn.Sequential(*image_layers(nn, 144), input_shape=(1, 8, 8))
    assert model.input_shape == (1, 8, 8) and model.config()["input_shape"] == [1, 8, 8]
    assert nn.from_config(model.config()).input_shape == copy.deepcopy(model).input_shape == (1, 8, 8)
    with pytest.raises(ValueError, match=r"layers\[2\]: Linear expects \(100,\) per example, gets \(144,\) from"):
        nn.Sequential(*image_layers(nn, 100), input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"layers\[0\]: Linear expects \(3,\) .* gets \(4,\) from input_shape"):
        nn.Sequential(nn.Linear(3, 2), input_shape=4)
    with pytest.raises(ValueError, match=r"x: expected \(n, 1, 8, 8\), got \(2, 1, 9, 9\)"):
        model.predict(np.zeros((2, 1, 9, 9)))
    inferred = nn.Sequential(nn.Linear(3, 2))
    assert inferred.input_shape == (3,) and inferred.config()["input_shape"] is None
    assert "input_shape" not in repr(inferred)


def test_summary_has_every_shape(nn):
    """Those of inner layers, too; without the shape of an image there is none to show."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.StochasticDepth(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()), 0.25),
        nn.Flatten(), nn.Linear(144, 10))
    found = {row.layer.split("(")[0]: (row.output, row.parameters) for row in model.summary((1, 8, 8)).rows[1:]}
    assert found == {
        "0  Conv2d": ("(n, 4, 6, 6)", "40"), "1  StochasticDepth": ("(n, 4, 6, 6)", ""),
        "1.block  Sequential": ("(n, 4, 6, 6)", ""), "1.block.0  Conv2d": ("(n, 4, 6, 6)", "148"),
        "1.block.1  ReLU": ("(n, 4, 6, 6)", "0"), "2  Flatten": ("(n, 144)", "0"), "3  Linear": ("(n, 10)", "1,450"),
        "total": ("", "1,638")}
    assert {row.output for row in model.summary().rows[1:]} == {"", "(n, 10)"}
    with pytest.raises(ValueError, match=r"layers\[3\]: Linear expects \(144,\) per example, gets \(196,\)"):
        model.summary((1, 9, 9))


def test_a_summary_draws_nothing(nn):
    """The weights of a model that stands inside another one come from the outer seed, shown before or not."""
    shown, other = (nn.Sequential(nn.Linear(2, 3), seed=1) for _ in range(2))
    assert shown.summary() == other.summary() and "exact zeros" not in shown._repr_html_()
    for got, want in zip(*(nn.Sequential(each, seed=5).params.values() for each in (shown, other)), strict=True):
        same(got, want)


class Angle(CustomLayer):
    """A layer whose name is no HTML."""

    def forward_pass(self, x, training):
        return x

    def backward_pass(self, dy):
        return dy

    def __repr__(self):
        return "<angle>"


def test_summary_in_a_notebook(nn):
    model = nn.Sequential(nn.Linear(2, 3, init="zeros"), nn.LeakyReLU())
    model.set_parameter("0.bias", [0.0, 1, 0])
    text = model._repr_html_()
    assert text == model.summary()._repr_html_()
    rows = ElementTree.fromstring(text).findall("tr")
    assert [[cell.text for cell in row] for row in rows] == [
        ["layer", "output", "parameters", "exact zeros"], ["0  Linear(2, 3, init='zeros')", "(n, 3)", "9", "6"],
        ["1  LeakyReLU()", "(n, 3)", "0", "0"], ["total", None, "9", "6"]]
    assert "&lt;" in nn.Sequential(Angle())._repr_html_()
