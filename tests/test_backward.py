"""backward after a prediction, and backward without dx: every layer, both packages."""

import ast
import copy
import inspect
import pathlib

import numpy as np
import pytest

import fastnn_ref
from fastnn_ref.shared.access import walk
from tests.cases import IMAGE_NETS
from tests.check import check_gradient, close, inputs, normal, randomise_biases, same, same_parameters
from tests.pairwise import of_each_kind

OTHERS = ("Dropout", "DropConnect", "StochasticDepth", "Augment", "GaussianNoise", "BatchNorm1d", "BatchNorm2d")


def pair(nn, make, seed=2):
    return [nn.Sequential(*make(nn), seed=seed, dtype="float64") for _ in range(2)]


# ---- after a prediction ----


def predicts_otherwise(case):
    """Is there a layer inside that does something else in training? Those that take their time count as others."""
    return "gelu" not in case.name and case not in IMAGE_NETS and any(
        type(layer).__name__ in OTHERS for _, layer in walk(case.make(fastnn_ref)))


@of_each_kind
@pytest.mark.parametrize("otherwise", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_every_layer_against_differences(ref, otherwise, cases):
    """The gradients are those of the function that predicts, by x and by every parameter.

    Of the reference; that the engine agrees with it stands in the tests of each layer.
    """
    for case in cases():
        if not case.numbers and predicts_otherwise(case) is otherwise:      # an embedding has no differences by x
            check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), inputs(case), training=False)


def test_nothing_random_is_left(nn):
    """What training does at random, a prediction does not, nor its backward."""
    random, plain = (
        nn.Sequential(
            nn.Linear(5, 5), *(noise if which == "random" else []), nn.BatchNorm1d(5),
            (lambda block, which=which: nn.StochasticDepth(block, 0.5, "row") if which == "random"
             else nn.Residual(block))(nn.Linear(5, 5)), nn.Linear(5, 3), seed=1, dtype="float64")
        for which, noise in (("random", [nn.Dropout(0.5), nn.GaussianNoise(1.0)]), ("plain", [])))
    plain.load_state_dict(dict(zip(plain.state_dict(), random.state_dict().values(), strict=True)))
    x, dy = normal((6, 5)), normal((6, 3), seed=1)
    same(random(x), plain(x))
    same(random.backward(dy), plain.backward(dy))
    for got, want in zip(random.grads.values(), plain.grads.values(), strict=True):
        assert want.any()
        same(got, want)


def test_a_prediction_changes_nothing(nn):
    """It draws no masks, counts no step, moves no running statistic; training goes on to the same bits."""
    one, two = pair(nn, lambda nn: [nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.Linear(7, 3)])
    x, t, loss = normal((6, 5)), np.arange(6) % 3, nn.CrossEntropyLoss()
    optimizers = nn.Adam(), nn.Adam()
    for _ in range(3):
        loss(one(x), t)
        one.backward(loss.backward())
        for model, optimizer in zip((one, two), optimizers, strict=True):
            model.step(x, t, loss, optimizer)
    same_parameters(one, two)
    assert one.steps == two.steps == 3


def test_it_belongs_to_the_last_forward(nn):
    model = nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5), seed=0, dtype="float64")
    x, dy = normal((4, 5)), normal((4, 3), seed=1)
    model(x)
    want = model.backward(dy)
    assert model.forward(x, training=True).any()
    assert (model.backward(dy) != want).any()
    model(x)
    same(model.backward(dy), want)
    same(model.backward(dy), want)                  # as often as one likes
    for spoil in (lambda: model.predict(x), lambda: model.evaluate(x, dy, nn.MSELoss()),
                  lambda: setattr(model[0], "trainable", True), lambda: nn.SGD(lr=0.0).step(model),
                  lambda: nn.Sequential(model)(x)):
        model(x)
        spoil()
        with pytest.raises(RuntimeError, match=r"backward: call forward\(x\) first"):
            model.backward(dy)


def test_of_a_layer_and_of_a_part(nn):
    """Whatever predicts has gradients: a layer of a model, and some of its layers."""
    model = nn.Sequential(nn.Linear(5, 4, activation="tanh"), nn.Dropout(0.5), nn.Linear(4, 3), dtype="float64")
    x, dy = normal((6, 5)), normal((6, 3), seed=1)
    model(x)
    want = model.backward(dy)
    hidden = model[:2](x)
    part = model[2:]
    part(hidden)
    dh = part.backward(dy)
    first = model[0]
    first(x)
    close("product", first.backward(dh), want, 20.0)
    part(hidden)
    with pytest.raises(RuntimeError, match="backward: call forward"):
        model.backward(dy)


def test_frozen_layers_have_none(nn):
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), dtype="float64")
    x, dy = normal((6, 5)), normal((6, 3), seed=1)
    model(x)
    want = model.backward(dy)
    model[:2].trainable = False
    model(x)
    same(model.backward(dy), want)
    assert [bool(gradient.any()) for gradient in model.grads.values()] == [False] * 4 + [True] * 2


def test_expected_relu_at_its_corner(nn):
    """Without a variance the expectation is relu itself; nothing is divided by 0."""
    model = nn.Sequential(nn.DropConnect(3, 2, 0.5, activation="relu", init=1.0), dtype="float64")
    model[0].bias = np.array([1.0, -1.0])
    assert model(np.zeros((1, 3))).tolist() == [[1.0, 0.0]]
    assert model.backward(np.ones((1, 2))).tolist() == [[1.0, 1.0, 1.0]]
    assert model[0].grads["bias"].tolist() == [1.0, 0.0]


class Smooth:
    """A user's activation, of either package."""

    @staticmethod
    def of(nn):
        class Square(nn.CustomActivation):
            def act(self, u):
                return u**2

            def act_backward(self, dy, u, y):
                return 2 * dy * u

        return Square()


@pytest.mark.parametrize("make", [
    lambda nn: nn.DropConnect(7, 3, 0.3, activation=Smooth.of(nn)),
    lambda nn: nn.DropConnect(7, 3, 0.3, activation=Smooth.of(nn), bias=False, mask="batch"),
    lambda nn: nn.Sequential(nn.Linear(7, 3, activation=Smooth.of(nn)), Smooth.of(nn)),
], ids=["expectation", "without bias", "linear"])
def test_a_users_activation(nn, make):
    check_gradient(nn.Sequential(make(nn), seed=1, dtype="float64"), normal((5, 7)), training=False)


def test_an_error_in_a_users_activation(nn):
    class Wrong(nn.CustomActivation):
        def act(self, u):
            return u

        def act_backward(self, dy, u, y):
            return dy[:1] if bad else dy

    model, bad = nn.Sequential(nn.DropConnect(7, 3, 0.3, activation=Wrong()), dtype="float64"), True
    model(normal((5, 7)))
    with pytest.raises(ValueError, match=r"Wrong.act_backward: expected du of shape \(5, 3\), got \(1, 3\)"):
        model.backward(normal((5, 3)))
    bad = False
    model(normal((5, 7)))
    assert np.isfinite(model.backward(normal((5, 3)))).all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softmax", "log_softmax"])
def test_threads_and_instruction_sets(fast, dtype, threads, activation):
    results = []
    for count in (1, 3):
        threads(count)
        model = fast.Sequential(fast.DropConnect(67, 65, 0.3, activation=activation, samples=30), dtype=dtype)
        model(normal((33, 67), dtype))
        results.append([model.backward(normal((33, 65), dtype, seed=1)), *model.grads.values()])
    for one, other in zip(*results, strict=True):
        assert one.any()
        same(one, other)


# ---- without dx ----


@pytest.mark.parametrize("training", [True, False])
@of_each_kind
def test_without_the_inputs_gradient(nn, training, cases):
    """None comes back, and the parameters' gradients are the same bits."""
    for case in cases():
        model = nn.Sequential(case.make(nn), seed=2)
        randomise_biases(model)
        x = inputs(case, model.dtype)
        y = model.forward(x, training=training)
        dy = normal(y.shape, model.dtype, seed=1)
        model.backward(dy)
        want = {name: gradient.copy() for name, gradient in model.grads.items()}
        for gradient in model.grads.values():
            gradient[...] = np.nan
        assert model.backward(dy, input_gradient=False) is None
        for name, gradient in model.grads.items():
            same(gradient, want[name], f"{case.name}: {name}")


def test_a_users_layer_need_not_know(nn):
    """The argument stops at the package's door: backward_pass(dy) is called as ever."""
    calls = []

    class Scale(nn.CustomLayer):
        def __init__(self):
            self.add("weight", (3,), "ones")

        def forward_pass(self, x, training):
            self.saved = x
            return x * self.values["weight"]

        def backward_pass(self, dy):
            calls.append(dy.shape)
            self.set_gradients((dy * self.saved).sum(axis=0))
            return dy * self.values["weight"]

    for model in (nn.Sequential(Scale(), dtype="float64"), nn.Sequential(nn.Linear(3, 3), Scale(), dtype="float64")):
        model(normal((4, 3)))
        assert model.backward(normal((4, 3)), input_gradient=False) is None
        assert all(gradient.any() for gradient in model.grads.values())
    assert calls == [(4, 3)] * 2


def test_a_loop_by_hand_without_dx_is_a_step(nn, dtype):
    one, two = (nn.Sequential(nn.Linear(5, 7, activation="gelu"), nn.Dropout(0.2), nn.Linear(7, 3), seed=1, dtype=dtype)
                for _ in range(2))
    x, t, loss, optimizers = normal((6, 5)), np.arange(6) % 3, nn.CrossEntropyLoss(), (nn.Adam(), nn.Adam())
    for _ in range(3):
        one.step(x, t, loss, optimizers[0])
        loss(two.forward(x, training=True), t)
        two.backward(loss.backward(), input_gradient=False)
        optimizers[1].step(two)
    same_parameters(one, two)


# ---- what concurrent predictions rest on ----


def test_forward_reads_nothing_that_it_saved():
    """In the reference several threads run the same forward_pass at once: what one saves, another one overwrites."""
    for path in pathlib.Path(inspect.getfile(fastnn_ref)).parent.glob("*.py"):
        for method in (each for each in ast.walk(ast.parse(path.read_text("utf-8")))
                       if isinstance(each, ast.FunctionDef) and each.name == "forward_pass"):
            read = [node for node in ast.walk(method) if isinstance(node, ast.Attribute) and node.attr == "_saved"
                    and isinstance(node.ctx, ast.Load)]
            assert not read, f"{path.name}:{read[0].lineno}: forward_pass reads self._saved"


# ---- whose arrays they are ----


def surrounded(nn, where, case):
    """The layer alone in a model; behind another; at the end of branches; as a block that its input is added to."""
    layer = case.make(nn)
    if where == "added" and layer.output_shape(case.shape[1:]) == case.shape[1:]:
        layer = nn.Residual(layer)
    elif where == "inside":
        layer = nn.Parallel(layer, copy.deepcopy(layer))
    elif where == "behind" and not case.numbers:
        layer = nn.Sequential(nn.LeakyReLU(), layer)
    return nn.Sequential(layer, seed=1, dtype="float64")


@of_each_kind
@pytest.mark.parametrize("where", ["alone", "behind", "inside", "added"])
def test_arrays_belong_to_the_caller(fast, ref, where, cases):
    """What is done to y and dy after a pass changes no gradient; no pass changes x or dy."""
    def gradients(nn, case, spoilt):
        model, x = surrounded(nn, where, case), inputs(case)
        kept = x.copy()
        y = model.forward(x, training=True)
        dy = normal(y.shape, seed=3)
        given, found = dy.copy(), [y.copy()]
        if spoilt:
            y[...] = np.nan
        for _ in range(2):
            dx = model.backward(dy)
            same(dy, given)
            found += [dx.copy(), *(g.copy() for g in model.grads.values())]
            dx[...] = np.nan
        same(x, kept)
        return found

    for case in cases():
        want = gradients(ref, case, False)
        for nn in (ref, fast):
            for one, other in zip(gradients(nn, case, True), want, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * (1 + np.abs(other).max(initial=0)))
