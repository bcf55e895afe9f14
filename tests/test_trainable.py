"""Freezing, and learning rates by part: what training leaves alone, what it changes by how much, and what keeps it."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
import fastnn_ref
from tests.cases import OPTIMIZERS, PENALTIES, SCHEDULES, Named
from tests.check import close, inputs, normal, same, same_parameters
from tests.pairwise import chequered, of_each_kind
from tests.test_custom import Scale

X, T = normal((6, 5)), np.arange(6) % 3


def net(nn, dtype="float64", **more):
    return nn.Sequential(
        nn.Linear(5, 7, activation="tanh"), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.Linear(7, 3), seed=3, dtype=dtype,
        **more)


def slots(optimizer):
    """Slot and parameter → a copy of the values."""
    return {(slot, name): value.copy() for slot, values in optimizer.state_dict().items() if isinstance(values, dict)
            for name, value in values.items() if isinstance(value, np.ndarray)}


# ---- freezing ----


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_a_frozen_layer_stays(nn, case):
    """Parameters, running statistics, slots; and penalties, which would move them, do not count."""
    model = net(nn, penalty=(nn.L2(0.3), nn.L1(0.001, biases=True), nn.MaxNorm(0.5)))
    optimizer = case.make(nn, clip_norm=0.7)
    model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    model[:2].trainable = False
    before, kept = model.state_dict(), slots(optimizer)
    for _ in range(3):
        model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    after, now = model.state_dict(), slots(optimizer)
    for name in after:
        assert (after[name] == before[name]).all() == (name[0] in "01"), name
    for key in now:
        assert (now[key] == kept[key]).all() == (key[1][0] in "01"), key
    weight = model[3].weight
    penalty = 0.15 * (weight**2).sum() + 0.001 * np.abs(weight).sum() + 0.001 * np.abs(model[3].bias).sum()
    close("sum", np.float64(model.penalty_value()), penalty, penalty)
    assert all((gradient == 0).all() for name, gradient in model.grads.items() if name[0] in "01")


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_the_rest_learns_as_on_the_outputs_of_the_frozen_layers(nn, dtype, case):
    """A model of the last layer alone, fed with what the frozen part predicts, goes the same way: to the bit."""
    whole = net(nn, dtype)
    whole[:3].trainable = False
    x = whole[:2].predict(X.astype(dtype))
    head = nn.Sequential(nn.Linear(7, 3), dtype=dtype)
    head[0].load_state_dict(whole[3].state_dict())
    one, other = case.make(nn, clip_norm=0.5), case.make(nn, clip_norm=0.5)
    model = nn.Sequential(*[copy.deepcopy(layer) for layer in (whole[0], whole[1], whole[3])], dtype=dtype)
    for _ in range(5):
        same(np.float64(model.step(X.astype(dtype), T, nn.CrossEntropyLoss(), one)),
             np.float64(head.step(x, T, nn.CrossEntropyLoss(), other)))
    same(model[2].weight, head[0].weight)


def test_unfreezing_goes_on(nn):
    """Slots are as before: the same steps as an optimizer whose state was kept meanwhile."""
    model, optimizer = net(nn), nn.Adam(lr=0.01)
    model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    kept = slots(optimizer)
    model[0].trainable = False
    model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    model[0].trainable = True
    before = model[0].weight.copy()
    model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    assert (model[0].weight != before).all()
    mean = optimizer.state_dict()["mean"]["0.weight"]
    close("step", mean, 0.9 * kept["mean", "0.weight"] + 0.1 * model.grads["0.weight"], np.abs(mean) + 1e-3)


@of_each_kind
def test_every_layer_frozen(nn, cases):
    """dx is what it was (a frozen BatchNorm's apart), gradients are 0, and no step changes anything."""
    for case in cases():
        plain, frozen = (nn.Sequential(case.make(nn), seed=2, dtype="float64") for _ in range(2))
        frozen.trainable = False
        x = inputs(case)
        same_norm = not any(type(layer).__name__.startswith("BatchNorm") for layer in every_layer(frozen))
        y, z = plain.forward(x, training=True), frozen.forward(x, training=True)
        before = frozen.state_dict()
        dy = normal(y.shape, seed=1)
        dx, dz = plain.backward(dy), frozen.backward(dy)
        if same_norm:
            same(z, y, case.name)
            same(dz, dx, case.name)
        assert all((gradient == 0).all() for gradient in frozen.grads.values()), case.name
        frozen.step(x, y, nn.MSELoss(), nn.SGD(lr=0.5, momentum=0.5, weight_decay=0.1))
        for name, value in frozen.state_dict().items():
            same(value, before[name], f"{case.name}: {name}")


def every_layer(layer):
    return [layer, *(found for _, child in layer.children() for found in every_layer(child))]


@pytest.mark.parametrize(("kind", "shape"), [
    ("BatchNorm1d", (7, 3)), ("BatchNorm1d", (1, 37)), ("BatchNorm2d", (19, 3, 4, 5)), ("BatchNorm2d", (2, 3, 1, 1))])
def test_a_frozen_batchnorm_predicts(nn, isa, dtype, kind, shape):
    """It is the linear function of its running statistics, in training, too, and for a batch of one."""
    layer = getattr(nn, kind)(shape[1])
    model = nn.Sequential(layer, dtype=dtype)
    layer.running_mean, layer.running_var = normal((shape[1],), seed=4), 0.5 + normal((shape[1],), seed=5) ** 2
    layer.weight = normal((shape[1],), seed=6)
    layer.trainable = False
    x, dy = normal(shape, dtype), normal(shape, dtype, seed=1)
    predicted = model(x)
    same(model.forward(x, training=True), predicted)
    slope = (layer.weight / np.sqrt(layer.running_var + layer.eps)).reshape(-1, *[1] * (len(shape) - 2))
    close("elementwise", model.backward(dy), slope * dy, np.abs(slope * dy))


def test_interleaved_images_pass_a_frozen_batchnorm(ref, fast, dtype):
    """Between two convolutions images lie in blocks."""
    def make(nn, dtype):
        model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 2), seed=1, dtype=dtype)
        model[1:].trainable = False
        return model

    engine, book = make(fast, dtype), make(ref, "float64")
    book.load_state_dict(engine.state_dict())
    x = normal((19, 2, 6, 5), dtype)
    y, want = engine.forward(x, training=True), book.forward(x, training=True)
    close("layer", y, want, 60 * np.abs(want).max())
    dy = normal(y.shape, dtype, seed=1)
    dx, want = engine.backward(dy), book.backward(dy)
    close("layer", dx, want, 200 * np.abs(want).max())
    for name, want in book.grads.items():
        close("layer", engine.grads[name], want, 800 * (np.abs(want).max() + 1e-30))


def test_a_step_goes_back_only_as_far_as_something_learns(nn):
    """A user's layer sees whether it is asked."""
    calls = []

    class Watched(nn.CustomLayer):
        def forward_pass(self, x, training):
            return x

        def backward_pass(self, dy):
            calls.append(dy.shape)
            return dy

    model = nn.Sequential(nn.Linear(5, 4), Watched(), nn.Linear(4, 3))
    model[:2].trainable = False
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
    frozen = len(calls)
    model[0].trainable = True
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD())
    assert len(calls) == frozen + 1
    if nn is fastnn:
        assert frozen == 0


def test_a_custom_layer(nn):
    """The user's object and its place in the model say the same, before and after; its gradients are 0."""
    class Direct(Scale):
        def backward_pass(self, dy):            # without set_gradients, which leaves a frozen layer's alone
            self.gradients["weight"][...] = (dy * self.saved).sum(axis=0)
            return dy * self.values["weight"]

    scale = Direct(5)
    scale.trainable = False
    model = nn.Sequential(scale, nn.Linear(5, 3), dtype="float64")
    assert (model[0].trainable, model.config()["layers"][0]["trainable"]) == (False, False)
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD(lr=0.5))
    assert scale.values["weight"].tolist() == [1.0] * 5 and not model.grads["0.weight"].any()
    again = nn.from_config(model.config(), classes={"Direct": Direct})
    assert not again[0].trainable and not copy.deepcopy(model)[0].trainable
    model[0].trainable = True
    assert scale.trainable
    scale.lr_scale = 0.5
    assert model[0].lr_scale == 0.5
    model.step(X, T, nn.CrossEntropyLoss(), nn.SGD(lr=0.5))
    close("step", scale.values["weight"], 1 - 0.25 * model.grads["0.weight"], np.ones(5))


def test_a_custom_optimizer(nn):
    """``update`` is called for what is trained, with the rate of the part."""
    seen = []

    class Plain(nn.CustomOptimizer):
        def update(self, w, g, lr, decay):
            seen.append((w.shape, lr))
            w -= lr * g

    model = net(nn, penalty=nn.L1(0.01))
    model[:2].trainable, model[3].lr_scale = False, 0.25
    model.step(X, T, nn.CrossEntropyLoss(), Plain(lr=0.5))
    assert seen == [((7, 3), 0.125), ((3,), 0.125)]


# ---- learning rates by part ----


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
@pytest.mark.parametrize("penalty", [None, *PENALTIES], ids=lambda case: getattr(case, "name", "none"))
def test_lr_scale_is_another_rate(nn, case, penalty):
    """All layers at a quarter of the rate: as an optimizer of a quarter of the rate, penalties included, to the bit."""
    def make():
        return net(nn, penalty=None if penalty is None else penalty.make(nn))

    one, other = make(), make()
    one.lr_scale = 0.25
    quick = case.make(nn)
    slow = Named(case.name, case.cls, {**case.arguments, "lr": quick.lr / 4}).make(nn)
    for _ in range(2):
        one.step(X, T, nn.CrossEntropyLoss(), quick)
        other.step(X, T, nn.CrossEntropyLoss(), slow)
    same_parameters(one, other)


@chequered
@pytest.mark.parametrize("case", OPTIMIZERS, ids=lambda case: case.name)
def test_the_engine_has_the_same_rates(ref, fast, dtype, case):
    engine, book = net(fast, dtype, penalty=fast.L1(0.02)), net(ref, penalty=ref.L1(0.02))
    book.load_state_dict(engine.state_dict())
    for model, nn in ((engine, fast), (book, ref)):
        model[0].lr_scale, model[1].lr_scale, model[3].lr_scale = 0.3, 0.0, 1.7
        optimizer = case.make(nn)
        for _ in range(4):
            model.step(X.astype(model.dtype), T, nn.CrossEntropyLoss(), optimizer)
    for name, value in book.state_dict().items():
        close("training", engine.state_dict()[name], value, 4 * 40 * (np.abs(value).max() + 0.1), name)
    same(engine[1].weight, np.ones(7, dtype))


@pytest.mark.parametrize("schedule", SCHEDULES[:3], ids=lambda case: case.name)
def test_a_schedule_is_scaled(nn, schedule):
    model = nn.Sequential(nn.Linear(1, 1, bias=False, init="zeros"), dtype="float64")
    model.lr_scale = 0.5
    optimizer, found = nn.SGD(lr=schedule.make(nn)), []
    for _ in range(9):
        rate = optimizer.current_lr
        before = float(model[0].weight[0, 0])
        model.step([[1.0]], [[1.0]], nn.MSELoss(), optimizer)
        found.append((float(model[0].weight[0, 0]) - before, 0.5 * rate * 2 * (1 - before)))
    moved, wanted = np.array(found).T
    close("step", moved, wanted, np.ones(9))


# ---- what keeps it ----


def test_records_copies_files_and_states(nn, tmp_path):
    model, optimizer = net(nn), nn.Adam()
    model[:2].trainable, model[3].lr_scale = False, 0.5
    model.step(X, T, nn.CrossEntropyLoss(), optimizer)
    model.save(tmp_path / "model.safetensors")
    nn.save_training(tmp_path / "run.safetensors", model, optimizer, nn.CrossEntropyLoss())
    fresh, other = net(nn), nn.Adam()
    nn.load_training_state(nn.training_state(model, optimizer), fresh, other)
    found = [nn.from_config(model.config()), copy.deepcopy(model), pickle.loads(pickle.dumps(model)),
             nn.load(tmp_path / "model.safetensors"), nn.load_training(tmp_path / "run.safetensors").model, fresh]
    for each in found:
        assert [layer.trainable for layer in each] == [False, False, True, True]
        assert [layer.lr_scale for layer in each] == [1.0, 1.0, 1.0, 0.5]
    assert "trainable" not in net(nn).config()["layers"][0]
    fresh[0].trainable = True
    nn.load_training_state(nn.training_state(net(nn), nn.Adam()), fresh, other)
    assert fresh[0].trainable and fresh[1].trainable and fresh[3].lr_scale == 1
    fresh.step(X, T, nn.CrossEntropyLoss(), other)


def test_resuming_a_training_that_unfroze(nn, tmp_path):
    """The callback that unfroze is not called again: the state says what was frozen, to the same bits."""
    class Unfreeze(nn.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model[0].trainable, self.model[3].lr_scale = True, 0.5

    def train(epochs, resume=None, callbacks=()):
        model = net(nn)
        model[0].trainable = False
        optimizer = nn.Adam(lr=0.01)
        history = model.fit(X, T, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=epochs, batch_size=4,
                            callbacks=list(callbacks), resume=resume)
        return model, optimizer, history

    whole, *_ = train(5, callbacks=[Unfreeze()])
    callback = Unfreeze()
    model, optimizer, history = train(3, callbacks=[callback])
    path = tmp_path / "run.safetensors"
    nn.save_training(path, model, optimizer, None, [history, callback])
    again, *_ = train(5, resume=path, callbacks=[Unfreeze()])
    same_parameters(again, whole)


def test_wrong_settings(nn):
    model, optimizer = net(nn), nn.Adam()
    with pytest.raises(TypeError, match="trainable: expected"):
        model[0].trainable = "no"
    with pytest.raises(ValueError, match="lr_scale: expected"):
        model[0].lr_scale = -1
    state = nn.training_state(model, optimizer)
    for wrong in ({"9": {}}, {"0": {"frozen": True}}, {"0": {"lr_scale": -1.0}}, {"0": 3}, [1]):
        with pytest.raises((ValueError, TypeError), match=r"state\['settings'\]"):
            nn.load_training_state({**state, "settings": wrong}, model, optimizer)
    assert model[0].trainable and model[0].lr_scale == 1
    with pytest.raises((ValueError, TypeError), match="config"):
        nn.from_config({**nn.Linear(2, 3).config(), "trainable": "x"})
    with pytest.raises(ValueError, match="unknown argument of SGD: 'trainable'"):
        nn.from_config({**nn.SGD().config(), "trainable": False})


def test_when_it_may_be_assigned(nn):
    """Between two steps of its own training, but not inside a pass; backward then needs a new forward."""
    model = net(nn)
    model.forward(X, training=True)
    model[0].trainable = False
    with pytest.raises(RuntimeError, match="backward: call forward"):
        model.backward(normal((6, 3)))
    assert model[0].trainable is False and model.trainable is True

    class Meddles(nn.CustomLayer):
        def forward_pass(self, x, training):
            inner[0].trainable = False
            return x

        def backward_pass(self, dy):
            return dy

    inner = nn.Sequential(nn.Linear(5, 3), Meddles())
    with pytest.raises(RuntimeError):
        inner.step(X, T, nn.CrossEntropyLoss(), nn.SGD())

    def freeze(batch, logs):
        model[0].trainable = batch > 0

    model[0].trainable = False
    model.run_epoch(X, T, nn.CrossEntropyLoss(), nn.SGD(lr=0.1), batch_size=3, on_batch_end=freeze)
    assert model[0].trainable


def test_the_summary_says_so(nn):
    model = net(nn)
    assert [row.layer for row in model.summary().rows][-1] == "total"
    model[0].trainable = False
    rows = {row.layer: row.parameters for row in model.summary().rows}
    assert rows["0  Linear(5, 7, activation=Tanh())  frozen"] == "42"
    assert (rows["trainable"], rows["frozen"], rows["total"]) == ("38", "42", "80")


def test_gradcheck_leaves_it_out(nn):
    model = net(nn)
    model[:2].trainable = False
    report = nn.gradcheck(model, X, T, nn.CrossEntropyLoss())
    assert report.passed and [row.name for row in report.rows] == ["x", "3.weight", "3.bias"]


def test_wrapping_keeps_it(nn):
    """In another model, and in its own again."""
    inner = net(nn)
    inner[0].trainable, inner[3].lr_scale = False, 0.5
    before = inner[0].weight.copy()
    outer = nn.Sequential(inner, nn.Linear(3, 3), dtype="float64")
    outer.step(X, T, nn.CrossEntropyLoss(), nn.Adam())
    same(inner[0].weight, before)
    del outer
    inner.step(X, T, nn.CrossEntropyLoss(), nn.Adam())
    same(inner[0].weight, before)
    assert inner[3].lr_scale == 0.5


# ---- several models: a GAN by hand ----


def test_gradients_through_a_frozen_model(nn):
    """A frozen discriminator gives dx and keeps its weights; the generator has the gradients of the two in a row."""
    generator = nn.Sequential(nn.Linear(2, 4, activation="tanh"), nn.Linear(4, 5), seed=1, dtype="float64")
    discriminator = nn.Sequential(nn.Linear(5, 3, activation="tanh"), nn.Linear(3, 1), seed=2, dtype="float64")
    z, t, loss = normal((6, 2)), np.ones((6, 1)), nn.BCEWithLogitsLoss()
    both = nn.Sequential(*copy.deepcopy([*generator, *discriminator]), dtype="float64")
    loss.forward(both.forward(z, training=True), t)
    both.backward(loss.backward())
    discriminator.trainable = False
    before = discriminator.state_dict()
    loss.forward(discriminator.forward(generator.forward(z, training=True), training=True), t)
    generator.backward(discriminator.backward(loss.backward()))
    for (_, got), (_, want) in zip(generator.grads.items(), both.grads.items(), strict=False):
        close("layer", got, want, 40 * np.abs(want).max())
    nn.Adam().step(generator)
    nn.Adam().step(discriminator)
    for name, value in discriminator.state_dict().items():
        same(value, before[name])


def test_both_packages_offer_it():
    for nn in (fastnn, fastnn_ref):
        assert nn.Linear.trainable.__doc__ and nn.Linear.lr_scale.__doc__


@pytest.mark.parametrize("name", ["2.weight", "1.running_mean"])
def test_an_array_that_nobody_may_write_to(nn, name):
    """It is no way to freeze: the engine's kernels went past it, and the reference stopped half way."""
    def make(seed):
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3), seed=seed, dtype="float64")

    x, t = normal((8, 4)), normal((8, 3))
    model, other, optimizer = make(0), make(1), nn.Adam()
    given = {"loss": nn.MSELoss(), "optimizer": optimizer, "batch_size": 4}
    other.fit(x, t, epochs=1, **given)
    state = nn.training_state(other, optimizer)
    seasoned = nn.Adam()
    model.step(x, t, nn.MSELoss(), seasoned)
    before, steps = model.state_dict(), model.steps
    layer, attribute = model[int(name[0])], name[2:]
    getattr(layer, attribute).flags.writeable = False
    for call in (lambda: model.fit(x, t, epochs=1, **given | {"optimizer": nn.Adam()}),
                 lambda: model.step(x, t, nn.MSELoss(), nn.Adam()),
                 lambda: model.step(x, t, nn.MSELoss(), seasoned),
                 lambda: model.run_epoch(x, t, nn.MSELoss(), nn.Adam()),
                 lambda: nn.Adam().step(model),
                 *([lambda: model.forward(x, training=True)] if "running" in name else []),
                 lambda: model.fit(x, t, epochs=1, **given | {"optimizer": nn.Adam()}, shards=2),
                 lambda: model.fit_lbfgs(x, t, loss=nn.MSELoss()),
                 lambda: model.load_state_dict(other.state_dict()),
                 lambda: nn.load_training_state(state, model, nn.Adam()),
                 lambda: setattr(layer, "lr_scale", 0.5)):
        with pytest.raises(ValueError, match=f"^({name}|{attribute}): expected an array that can be written to, got a"):
            call()
        same_state(before, model.state_dict())
        assert model.steps == steps and layer.lr_scale == 1 and seasoned.steps == 1
    getattr(layer, attribute).flags.writeable = True
    layer.trainable = False
    getattr(layer, attribute).flags.writeable = False           # of a frozen layer nothing is written
    model.fit(x, t, epochs=1, **given | {"optimizer": nn.Adam()})
    model.step(x, t, nn.MSELoss(), seasoned)
    model.forward(x, training=True)
    assert model.steps == steps + 4


def same_state(one, other):
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_a_forward_pass_writes_statistics_alone(nn):
    """Parameters may be read-only in it, and the error is about what it writes."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), seed=0)
    x = normal((8, 4))
    model(x)
    model[0].weight.flags.writeable = False
    model.forward(x, training=True)
    model[1].running_var.flags.writeable = False
    with pytest.raises(ValueError, match=r"^1\.running_var: expected an array that can be written to"):
        model.forward(x, training=True)
