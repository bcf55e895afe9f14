"""What the pictures show, read from their artists; models of both packages."""

import copy
import functools
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex

import fastnn_ref
from fastnn import plot
from fastnn.plot.figure import BLUE, ORANGE
from tests.check import normal


@pytest.fixture
def ax():
    return plot.new_figure(4, 3).add_subplot()


def line(ax, label):
    """(x, y) of the line with that label."""
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return found.get_xdata(), found.get_ydata()


def texts(ax):
    """Text by (column, row)."""
    return {text.get_position(): text.get_text() for text in ax.texts}


# ---- a training ----


def test_learning_curves(ax):
    plot.learning_curves({"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 2.5, 2.75]}, ax=ax)
    assert [list(each) for each in line(ax, "training")] == [[1, 2, 3], [3.0, 2.0, 1.0]]
    assert [list(each) for each in line(ax, "held out")] == [[1, 2, 3], [4.0, 2.5, 2.75]]
    assert (ax.get_xlabel(), ax.get_ylabel(), len(ax.lines)) == ("epoch", "loss", 2)


def test_a_point_between_nan_is_seen(ax):
    """A training that diverges after its first epoch had an empty picture."""
    plot.learning_curves({"loss": [2.0, np.nan, 3.0, 4.0, np.inf, 5.0]}, ax=ax)
    plot.learning_curves({"loss": [1.0]}, ax=ax)
    other = plot.learning_curves({"loss": [1.0, 2.0]}, ax=plot.new_figure(4, 3).add_subplot())
    assert other.lines[0].get_marker() == "None"
    assert [(each.get_marker(), each.get_markevery()) for each in ax.lines] == [("o", [0, 5]), ("o", [0])]


def test_the_mark_of_early_stopping(nn, ax):
    """The loss falls to 1 in epoch 0, and no further: the rate is too large."""
    x, t = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    stopping = nn.EarlyStopping(monitor="loss", patience=2)
    history = nn.Sequential(nn.Linear(1, 1, init="zeros")).fit(
        x, t, loss=nn.MSELoss(), optimizer=nn.SGD(lr=0.8), epochs=50, callbacks=[stopping])
    plot.learning_curves(history, early_stopping=stopping, ax=ax)
    assert list(line(ax, "best epoch: 1, stopped after 3")[0]) == [1, 1]
    other = plot.new_figure(4, 3).add_subplot()
    plot.learning_curves(history, early_stopping=nn.EarlyStopping(), ax=other)      # it has not seen an epoch
    assert [each.get_label() for each in other.lines] == ["training"]


@pytest.mark.parametrize("histories", [1, 2, 3])
def test_several_histories(ax, histories):
    plot.learning_curves({f"net {i}": {"loss": [2.0, 1.0 + i], "val_loss": [3.0]} for i in range(histories)}, ax=ax)
    for i in range(histories):
        assert list(line(ax, f"training, net {i}")[1]) == [2.0, 1.0 + i]
    assert len({(each.get_color(), each.get_linestyle(), each.get_linewidth()) for each in ax.lines}) == 2 * histories


def test_learning_curves_say_what_is_wrong():
    with pytest.raises(ValueError, match="name: unknown name 'f1', known: accuracy, loss"):
        plot.learning_curves({"loss": [1.0], "val_accuracy": [1.0]}, "f1")
    with pytest.raises(TypeError, match="history: expected a History with epochs, or a mapping"):
        plot.learning_curves(fastnn_ref.History())
    with pytest.raises(TypeError, match="early_stopping: expected an EarlyStopping"):
        plot.learning_curves({"loss": [1.0]}, early_stopping=3)
    assert not pyplot.get_fignums(), "an error leaves no figure behind"


def test_lr_range(nn, ax):
    x = np.linspace(-1, 1, 64)[:, None]
    found = nn.find_lr(nn.Sequential(nn.Linear(1, 1)), x, 3 * x, loss=nn.MSELoss(), optimizer=nn.SGD(), high=100)
    plot.lr_range(found, ax=ax)
    np.testing.assert_array_equal(line(ax, "each batch"), [found.lrs, found.losses])
    np.testing.assert_array_equal(line(ax, "smoothed"), [found.lrs, found.smoothed])
    assert list(line(ax, f"suggestion: {found.suggestion:.2g}")[0]) == [found.suggestion] * 2
    assert ax.get_xscale() == "log"


def recorded(nn):
    recorder = nn.UpdateRecorder(every=2)
    model = nn.Sequential(nn.Linear(3, 4, activation="relu"), nn.Linear(4, 1), seed=0)
    model.fit(normal((8, 3)), normal((8, 1)), loss=nn.MSELoss(), optimizer=nn.SGD(), epochs=3, batch_size=4,
              callbacks=[recorder])
    return recorder


def test_gradient_norms_and_update_ratios(nn, ax):
    recorder = recorded(nn)
    plot.gradient_norms(recorder, ax=ax)
    for name in ("0.weight", "1.weight"):
        np.testing.assert_array_equal(line(ax, name), [[1, 3, 5], recorder.gradient_norms[name]])
    assert ax.get_yscale() == "log" and len({to_hex(each.get_color()) for each in ax.lines}) == 2
    other = plot.update_ratios(recorder, ax=plot.new_figure(4, 3).add_subplot())
    np.testing.assert_array_equal(line(other, "1.weight"), [[1, 3, 5], recorder.update_ratios["1.weight"]])
    assert list(line(other, "usual: 0.001")[1]) == [0.001] * 2
    with pytest.raises(ValueError, match="recorder: expected one that was in fit's callbacks, got one without"):
        plot.gradient_norms(nn.UpdateRecorder())


def test_a_long_title_fits_the_page():
    """That of a file with a long name lost its beginning and its end."""
    curves = {"loss": [1.0], "accuracy": [1.0], "rmse": [1.0], "r2": [1.0]}
    for figure in (plot.training_report("two\nlines" + "-long-name" * 20, {"a": curves}, np.array([0, 1]), np.eye(2)),
                   plot.regression_report("long name " * 20, {"a": curves}, np.zeros(2), np.ones(2))):
        figure.canvas.draw()
        assert figure._suptitle.get_window_extent().x0 > 0 and "two lines" not in figure.get_suptitle()


# ---- a classifier ----


def test_confusion_matrix(ax):
    """Class 2 is never true and never predicted; a logit of NaN is in a column of its own."""
    y = np.array([[2.0, 0, 0], [3, 1, 0], [1, 0, -1], [0, 5, 1], [np.nan, 0, 0]])
    plot.confusion_matrix(y, [0, 0, 1, 1, 1], names=["a", "b", "c"], ax=ax)
    assert texts(ax) == {(0, 0): "2", (0, 1): "1", (1, 1): "1", (3, 1): "1"}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b", "c", "NaN"]
    np.testing.assert_allclose(np.square(ax.images[0].get_array()), [[1, 0, 0, 0], [1 / 3, 1 / 3, 0, 1 / 3], [0] * 4])


@pytest.mark.parametrize("classes", [3, 10, 30])
def test_long_names_leave_room_for_the_matrix(classes):
    names = [f"{each}, which is one of the classes that have a name of many words" for each in range(classes)]
    ax = plot.confusion_matrix(np.eye(classes), range(classes), names=names,
                               ax=plot.new_figure(6.4, 4.8).add_subplot())
    ax.figure.canvas.draw()
    assert ax.get_position().height > 0.5
    assert ax.get_yticklabels()[2].get_text() == "2, which is …f many words"
    formula = r"$\int_0^1 x^2\,dx$ and nothing else"
    ax = plot.confusion_matrix(np.eye(2), [0, 1], names=["a", formula], ax=plot.new_figure(4, 3).add_subplot())
    assert ax.get_yticklabels()[1].get_text() == formula


def test_confusion_matrix_of_many_classes(ax):
    """Numbers would be dots, and up to K² texts took a minute and gigabytes; the column of the NaN keeps its name."""
    y = np.eye(120) + 0.5 * np.roll(np.eye(120), 1, axis=1)
    y[7] = np.nan
    plot.confusion_matrix(y, range(120), names=range(1000, 1120), ax=ax)        # such as load_digits().target_names
    assert not ax.texts
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [str(each) for each in range(1000, 1120, 3)]
    assert [tick.get_text() for tick in ax.get_xticklabels()][-2:] == ["1117", "NaN"]
    assert ax.get_xticks()[-2:].tolist() == [117, 120]
    other = plot.confusion_matrix(np.eye(50), range(50), ax=plot.new_figure(4, 3).add_subplot())
    assert len(other.texts) == len(other.get_xticks()) == 50


def test_confusion_matrix_of_one_output(ax):
    plot.confusion_matrix([[2.0], [-1.0], [0.5]], [1, 1, 0], threshold=0, ax=ax)
    assert texts(ax) == {(1, 1): "1", (0, 1): "1", (1, 0): "1"}
    with pytest.raises(ValueError, match="confusion_matrix: expected a threshold"):
        plot.confusion_matrix([[2.0], [-1.0]], [1, 1])
    with pytest.raises(ValueError, match="y: expected one output or outputs that compete, got 2 labels"):
        plot.confusion_matrix(np.eye(2), np.eye(2), threshold=0.5)
    with pytest.raises(ValueError, match="names: expected 2, got 1"):
        plot.confusion_matrix(np.eye(2), [0, 1], names=["x"])


def test_reliability_diagram(ax):
    """Four decisions with a confidence of 0.75, half of them right, and two with 0.95 that are right."""
    y = np.log([[0.75, 0.25]] * 4 + [[0.05, 0.95]] * 2)
    t = [0, 0, 1, 1, 1, 1]
    plot.reliability_diagram(y, t, bins=4, ax=ax)
    accuracy, gap = ([bar.get_bbox() for bar in bars] for bars in ax.containers)
    np.testing.assert_allclose([box.height for box in accuracy], [0, 0, 0.5, 1])
    np.testing.assert_allclose([box.height for box in gap], [0, 0, 0.25, 0.05], atol=1e-12)
    np.testing.assert_allclose([box.ymin for box in gap], [0, 0, 0.5, 0.95])
    np.testing.assert_allclose(ax.patches[-1].get_data().values, [0, 0, 4 / 6, 2 / 6])
    error = fastnn_ref.metrics.expected_calibration_error(y, np.array(t), bins=4)
    assert error == pytest.approx((4 * 0.25 + 2 * 0.05) / 6)
    assert ax.get_title() == f"Reliability (expected calibration error {error:.3f})"
    with pytest.raises(ValueError, match="y: expected no NaN"):
        plot.reliability_diagram([[np.nan, 0.0]], [0])


@pytest.mark.parametrize("outputs", [1, 2])
def test_decision_boundary(nn, ax, outputs):
    """Class 1 where x₀ + x₁ > 1."""
    model = nn.Sequential(nn.Linear(2, outputs))
    model.load_state_dict({"0.weight": [[1.0], [1.0]] if outputs == 1 else [[0, 1.0], [0, 1.0]],
                           "0.bias": [-1.0] if outputs == 1 else [0, -1.0]})
    x = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    plot.decision_boundary(model, x, [0, 1, 1], resolution=21, margin=0.5, names=["no", "yes"], ax=ax)
    steps = np.linspace(-0.5, 1.5, 21)
    image = ax.images[0]
    wanted = steps[None, :] + steps[:, None]
    np.testing.assert_array_equal(image.get_array()[np.abs(wanted - 1) > 1e-6], (wanted > 1)[np.abs(wanted - 1) > 1e-6])
    np.testing.assert_allclose(image.get_extent(), [-0.55, 1.55, -0.55, 1.55])
    points = {each.get_label(): each.get_offsets().tolist() for each in ax.collections if len(each.get_offsets())}
    assert points["no"] == [[0, 0]] and points["yes"] == [[1, 1], [0, 1]]
    (boundary,) = [each for each in ax.collections if hasattr(each, "levels")]
    for path in boundary.get_paths():
        np.testing.assert_allclose(path.vertices.sum(axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match=re.escape("x: expected (n, 2)")):
        plot.decision_boundary(model, np.ones((3, 3)), [0, 1, 1])
    with pytest.raises(ValueError, match="t: "):
        plot.decision_boundary(model, x, [0, 1, 2])
    with pytest.raises(ValueError, match=r"t: expected class numbers \(3,\), got \(3, 2\)"):
        plot.decision_boundary(model, x, np.eye(3, 2))
    with pytest.raises(ValueError, match="x: expected finite numbers, got NaN or infinity"):
        plot.decision_boundary(model, [[0, 0], [1, np.nan], [1, 1]], [0, 1, 1])


def test_classes_of_a_decision_boundary_look_different(ax):
    """Eight colours and eight markers: the ninth class looked like the first."""
    x = np.arange(20.0).reshape(10, 2)
    plot.decision_boundary(fastnn_ref.Sequential(fastnn_ref.Linear(2, 10)), x, range(10), resolution=5, ax=ax)
    points = [each for each in ax.collections if not hasattr(each, "levels")]      # no contour
    looks = {(to_hex(each.get_facecolor()[0]), each.get_paths()[0].vertices.tobytes()) for each in points}
    assert len(points) == len(looks) == 10
    ax.figure.canvas.draw()                                                         # the legend stood on the points
    assert ax.get_legend().get_window_extent().x0 > ax.get_window_extent().x1


def test_predicted_values(ax):
    """The true value is across, the predicted one up; what is no number is left out."""
    plot.predicted_values([[3.0], [5.0], [np.nan]], [1.0, 2.0, 3.0], name="price", ax=ax)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), [[1, 3], [2, 5]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true price", "predicted price")
    with pytest.raises(ValueError, match=r"y: expected one output, .* got \(2, 2\); pass one column"):
        plot.predicted_values(np.eye(2), np.eye(2), ax=ax)
    with pytest.raises(ValueError, match="predicted_values: expected outputs and targets of one shape"):
        plot.predicted_values([1.0, 2.0], np.eye(2), ax=ax)


def test_mistakes():
    """Two of four are wrong; the surer one comes first."""
    y = np.log([[0.75, 0.25], [0.625, 0.375], [0.875, 0.125], [0.5, 0.5]])
    images = np.arange(4)[:, None, None] / 4 * np.ones((4, 2, 3))
    figure = plot.mistakes(images, y, [0, 1, 1, 0], figure=plot.new_figure(4, 3))
    assert figure.get_suptitle() == "Mistakes: 2 of 4, the surest first"
    titles = [each.get_title() for each in figure.axes[:3]]
    assert titles == ["true 1, said 0\n88 % sure", "true 1, said 0\n62 % sure", ""]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), images[2])
    colours = np.linspace(0, 1, 4 * 3 * 2 * 3).reshape(4, 3, 2, 3)
    figure = plot.mistakes(colours, y, [0, 1, 1, 0], names=["cat", "dog"], figure=plot.new_figure(4, 3))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.moveaxis(colours[2], 0, 2))
    assert figure.axes[0].get_title() == "true dog\nsaid cat\n88 % sure"
    with pytest.raises(ValueError, match=r"images: expected .* with outputs \(n, K\), got \(4, 6\)"):
        plot.mistakes(images.reshape(4, 6), y, [0, 1, 1, 0])


def test_rows_with_a_nan_are_mistakes():
    """As for accuracy; they counted as class 0, so the first one here was right."""
    figure = plot.mistakes(np.zeros((2, 2, 2)), [[np.nan, 0.0], [0.75, 0.25]], [0, 1], figure=plot.new_figure(4, 3))
    assert figure.get_suptitle() == "Mistakes: 2 of 2, the surest first"
    assert [each.get_title() for each in figure.axes[:2]] == ["true 1, said 0\n75 % sure", "true 0, said NaN"]


# ---- inside a model ----


def test_weight_histograms(nn, ax):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    model.set_parameter("0.weight", [[-1.0, -1.0], [-1.0, 1.0]])
    model.set_parameter("2.weight", [[0.0], [0.0]])
    plot.weight_histograms(model, bins=2, ax=ax)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0.weight  σ = 0.866", "2.weight  σ = 0"]
    first, _, second, _ = ax.patches
    np.testing.assert_allclose(first.get_data().values, [0.85, 0.85 / 3])
    np.testing.assert_allclose(second.get_data().values, [-1, -1 + 0.85])
    np.testing.assert_allclose(first.get_data().edges, [-1, 0, 1])
    with pytest.raises(ValueError, match="model: expected at least one layer with weights"):
        plot.weight_histograms(nn.Sequential(nn.ReLU()))
    model.set_parameter("0.weight", np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"model: expected finite weights, got nan in 0\.weight"):
        plot.weight_histograms(model)


def test_filters_of_a_convolution(nn, ax):
    model = nn.Sequential(nn.Conv2d(1, 3, 2))
    plot.filters(model, limit=2, ax=ax)
    w = model.params["0.weight"]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert shown.shape == (4, 7)
    np.testing.assert_allclose(shown[1:3, 1:3], w[0, 0])
    np.testing.assert_allclose(shown[1:3, 4:6], w[1, 0])
    assert np.isnan(shown[:, 3]).all() and ax.get_title() == "0.weight: 2 of 3 filters"
    low, high = ax.images[0].get_clim()
    assert low == -high == pytest.approx(-np.abs(w[:2]).max())


def test_filters_in_colour_and_of_many_channels(nn, ax):
    model = nn.Sequential(nn.Conv2d(3, 1, 2))
    plot.filters(model, ax=ax)
    w = model.params["0.weight"]
    np.testing.assert_allclose(ax.images[0].get_array()[1:3, 1:3], np.moveaxis(w[0], 0, -1) / np.abs(w).max() / 2 + 0.5,
                               rtol=1e-5)
    other = plot.filters(nn.Sequential(nn.Conv2d(5, 2, 2)), ax=plot.new_figure(4, 3).add_subplot())
    assert other.images[0].get_array().shape == (7, 16)         # a row for each filter, a column for each channel


def test_filters_of_a_linear(nn, ax):
    model = nn.Sequential(nn.Linear(6, 1))
    plot.filters(model, image_shape=(2, 3), ax=ax)
    np.testing.assert_allclose(ax.images[0].get_array()[1:3, 1:4], model.params["0.weight"].reshape(2, 3))
    for shape in (None, (6,), (2, 4)):
        with pytest.raises(ValueError, match=r"image_shape: expected \(height, width\) of 6 pixels"):
            plot.filters(model, image_shape=shape)
    with pytest.raises(ValueError, match="image_shape: expected None for a first layer of kernels"):
        plot.filters(nn.Sequential(nn.Conv2d(1, 1, 2)), image_shape=(2, 2))


class Square(fastnn_ref.CustomActivation):
    def act(self, u):
        return u**2

    def act_backward(self, dy, u, y):
        return 2 * u * dy


@pytest.mark.parametrize(("kind", "act", "slope"), [
    ("tanh", np.tanh, lambda u: 1 - np.tanh(u) ** 2), (Square(), lambda u: u**2, lambda u: 2 * u)])
def test_activation(ax, kind, act, slope):
    plot.activation(kind, low=-1, high=2, ax=ax)
    u, y = line(ax, "y = act(u)")
    assert (u[0], u[-1]) == (-1, 2)
    np.testing.assert_allclose(y, act(u))
    np.testing.assert_allclose(line(ax, "slope act'(u)")[1], slope(u), atol=1e-12)


def test_activation_of_a_model(nn, ax):
    """The activation of a layer that is in use stays as it is."""
    model = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.25))
    plot.activation(model.layers[1], low=-4, high=4, ax=ax)
    u, slope = line(ax, "slope act'(u)")
    np.testing.assert_array_equal(slope, np.where(u > 0, 1, 0.25))
    assert model.steps == 0 and model.layers[1].parent is model
    for wrong in (nn.Softmax(), "softmax", nn.Linear(1, 1)):
        with pytest.raises(ValueError, match="kind: expected an activation of single values"):
            plot.activation(wrong)
    with pytest.raises(ValueError, match="activation: unknown name 'rilu'"):
        plot.activation("rilu")
    with pytest.raises(ValueError, match="high: "):
        plot.activation("relu", low=1, high=1)


def units_model(nn):
    """relu: dead, alive; tanh: saturated, alive; and in a nested block."""
    model = nn.Sequential(
        nn.Linear(1, 2, activation="relu", init="ones"), nn.Sequential(nn.Linear(2, 2), nn.Tanh()),
        nn.Residual(nn.Linear(2, 2, activation="sigmoid", init="zeros")), nn.Linear(2, 3), nn.Softmax())
    model.set_parameter("0.bias", [-9.0, 1.0])
    model.set_parameter("1.0.weight", [[0.0, 0.0], [3.0, 0.1]])
    return model


def test_dead_and_saturated_units(nn, ax):
    model = units_model(nn)
    x = np.array([[1.0], [2.0], [3.0]])
    found = plot.measure_units(model, x)
    assert found == {"0  relu": (2, 1, 0), "1.1  tanh": (2, 0, 1), "2.block  sigmoid": (2, 0, 0)}
    plot.unit_activity(model, x, ax=ax)
    dead, saturated = ([bar.get_width() for bar in bars] for bars in ax.containers)
    assert (dead, saturated) == ([0.5, 0, 0], [0, 0.5, 0])
    assert [bar.get_x() for bar in ax.containers[1]] == [0.5, 0, 0]
    assert ax.get_yticklabels()[1].get_text() == "1.1  tanh:  0 dead, 1 saturated of 2"
    assert model.steps == 0


def test_units_of_images_are_channels(nn):
    """A pixel counts as an example: the second channel is dead in all of them, the first in some."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, activation="relu", init="ones"), nn.Flatten(), nn.Linear(8, 1))
    model.set_parameter("0.bias", [0.0, -5.0])
    x = np.array([-1.0, 1, 2, 3]).reshape(1, 1, 2, 2)
    assert plot.measure_units(model, x) == {"0  relu": (2, 1, 0)}
    rare = np.array([-1.0] * 19 + [1.0]).reshape(20, 1, 1, 1)           # 95 % of them flat
    first = nn.Sequential(copy.deepcopy(model.layers[0]))
    assert plot.measure_units(first, rare) == {"0  relu": (2, 1, 1)}
    assert plot.measure_units(first, rare[1:]) == {"0  relu": (2, 1, 0)}
    with pytest.raises(ValueError, match="model: expected at least one layer with an activation"):
        plot.measure_units(nn.Sequential(nn.Linear(1, 1)), [[1.0]])


def test_units_inside_a_users_layer_are_its_own(nn):
    """Whatever it calls its attributes: what they are for, nobody else knows."""
    class Blocks(nn.CustomLayer):
        def __init__(self, layers, block, branches, activation):
            self.layers, self.block, self.branches, self.activation = layers, block, branches, activation

        def forward_pass(self, x, training):
            return 2 * x

    model = nn.Sequential(Blocks(2, 16, None, nn.ReLU()), nn.Linear(1, 2, activation="relu", init="ones"))
    assert list(plot.measure_units(model, [[1.0], [2.0]])) == ["1  relu"]


# ---- what all of them share ----


FIGURES = {"mistakes", "training_report", "regression_report", "new_figure", "save", "picture_formats",
           "measure_units", "UnitActivity"}                             # whole ones, and what draws nothing


@functools.cache
def drawings():
    nn = fastnn_ref
    recorder, linear = recorded(nn), nn.Sequential(nn.Linear(2, 2, activation="relu"))
    found = nn.find_lr(linear, np.eye(2), [0, 1], loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), steps=3)
    return {
        "learning_curves": ({"loss": [1.0]},), "lr_range": (found,), "gradient_norms": (recorder,),
        "update_ratios": (recorder,), "confusion_matrix": (np.eye(2), [0, 1]),
        "reliability_diagram": (np.eye(2), [0, 1]), "decision_boundary": (linear, np.eye(2), [0, 1]),
        "weight_histograms": (linear,), "filters": (nn.Sequential(nn.Conv2d(1, 1, 2)),), "activation": ("relu",),
        "unit_activity": (linear, np.eye(2)), "predicted_values": ([1.0, np.nan], [1.0, 2.0]),
    }


@pytest.mark.parametrize("name", [name for name in plot.__all__ if name not in FIGURES])
def test_every_function_returns_its_axes(name):
    """The one that it is given, or one of a new figure of pyplot's; and everything is drawn without a warning."""
    pyplot.switch_backend("agg")
    function, arguments = getattr(plot, name), drawings()[name]
    ax = plot.new_figure(5, 4).add_subplot()
    assert function(*arguments, ax=ax) is ax
    ax.figure.canvas.draw()
    assert ax.get_title()
    new = function(*arguments)
    assert pyplot.gcf() is new.figure
    pyplot.close(new.figure)
    with pytest.raises(TypeError, match="ax: expected an Axes of matplotlib, got Figure"):
        function(*arguments, ax=ax.figure)


def test_all_names_are_tested():
    assert set(plot.__all__) == set(drawings()) | FIGURES


@pytest.mark.parametrize("name", ["weight_histograms", "filters", "unit_activity", "decision_boundary"])
def test_something_else_than_a_model(name):
    arguments = {"unit_activity": ([[1.0]],), "decision_boundary": ([[1.0, 1.0]], [0])}.get(name, ())
    with pytest.raises(TypeError, match="model: expected a Sequential of fastnn or fastnn_ref, got Linear"):
        getattr(plot, name)(fastnn_ref.Linear(1, 1), *arguments)


def test_matplotlib_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib" or "fastnn.plot" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delattr(sys.modules["fastnn"], "plot")
    with pytest.raises(ModuleNotFoundError, match=re.escape('matplotlib is missing: pip install "fastnn[plot]"')):
        import fastnn.plot  # noqa: F401


def test_colours_differ_in_lightness():
    """Training and held out can be told apart in a grey print, too."""
    def grey(colour):
        return np.dot([int(colour[i:i + 2], 16) for i in (1, 3, 5)], [0.299, 0.587, 0.114])
    assert abs(grey(BLUE) - grey(ORANGE)) > 20


@pytest.mark.slow
def test_the_page_of_the_documentation_runs(capsys):
    """Every block of docs/plots.md, one after the other; the table is what its last block prints."""
    pyplot.switch_backend("agg")
    page = (Path(__file__).parents[1] / "docs" / "plots.md").read_text("utf-8")
    blocks = re.findall(r"```(python)?\n(.*?)```", page, re.S)
    exec("\n".join(code for language, code in blocks if language), {})
    pyplot.close("all")
    assert capsys.readouterr().out == blocks[-1][1]
    shown = set(re.findall(r"\]\(pictures/(\w+\.png)\)", page))
    assert shown == {path.name for path in (Path(__file__).parents[1] / "docs" / "pictures").glob("*.png")}


@pytest.mark.parametrize("y", [[1e16, 1e16], [np.inf, 1e300], [np.nan, np.nan], [1.0, 2.0]])
def test_errors_that_are_alike_have_a_histogram(y):
    """Of a training that went far off, rounding is all that differs: bins between them had no width."""
    history = {"rmse": [1.0], "r2": [1.0]}
    figure = plot.regression_report("far off", {"fastnn": history}, np.array([1.0, 2.0]), np.array(y))
    figure.draw_without_rendering()
    assert sum(bar.get_height() for bar in figure.axes[-1].patches) == np.isfinite(y).sum()
