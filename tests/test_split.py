"""validation_split: which rows validate, in memory and in files, in both packages."""

import re

import numpy as np
import pytest

from fastnn_ref import philox
from fastnn_ref.shared.data import FileRows, choose_rows, rows_of_classes
from tests.check import normal, same_parameters
from tests.test_batches import in_file

X = normal((50, 6), seed=1)
CLASSES = np.repeat([0, 1, 2], [25, 20, 5])
CHOSEN = ("random", "stratified")


def net(nn, seed=3):
    return nn.Sequential(nn.Linear(6, 5, activation="tanh"), nn.Linear(5, 3), seed=seed, dtype="float64")


def train(nn, x, t, model=None, epochs=2, **arguments):
    model = model or net(nn)
    given = {"loss": nn.CrossEntropyLoss(), "optimizer": nn.SGD(lr=0.1, momentum=0.9), "batch_size": 8} | arguments
    return model, model.fit(x, t, epochs=epochs, **given).history


def split(which, seed=3, t=CLASSES, total=10):
    return choose_rows(len(t), total, which, t, seed)


@pytest.mark.parametrize("which", CHOSEN)
def test_the_rows_are_a_partition(which):
    first, last = split(which)
    assert len(last) == 10
    assert sorted([*first, *last]) == list(range(50))
    assert (np.diff(first) > 0).all() and (np.diff(last) > 0).all()
    assert any((split(which, seed)[1] != last).any() for seed in range(4))
    assert split(which)[1].tolist() == last.tolist()


def test_random_rows_are_the_first_of_a_permutation():
    order = philox.permutation(50, 3, 0, 6 << 24)
    assert set(split("random")[1]) == set(order[:10])
    assert set(order[:10]) != set(philox.permutation(50, 3, 0)[:10])            # the first epoch's


def test_every_row_is_as_likely():
    """300 seeds hold out 10 of 50 rows: 60 ± 7 times each."""
    for which in CHOSEN:
        counts = np.bincount(np.concatenate([split(which, seed)[1] for seed in range(300)]), minlength=50)
        assert counts.min() > 30 and counts.max() < 95


def test_strata():
    """A fifth of each class; one-hot rows, columns and labels of any value say the same classes."""
    last = split("stratified")[1]
    assert np.bincount(CLASSES[last]).tolist() == [5, 4, 1]
    for t in (np.eye(3)[CLASSES], CLASSES[:, None], CLASSES * 7.0 - 3, CLASSES.astype(np.uint8)):
        assert split("stratified", t=t)[1].tolist() == last.tolist()
    yes = np.arange(50) % 5 == 0
    assert yes[split("stratified", t=yes)[1]].sum() == 2


@pytest.mark.parametrize(("counts", "total", "want"), [
    ([10, 10], 5, [3, 2]),                  # equal remainders: the first class
    ([7, 2, 1], 5, [4, 1, 0]),              # the only row of a class stays where training sees it
    ([2, 2, 2], 3, [1, 1, 1]),
    ([1, 1, 8], 7, [0, 0, 7]),
    ([100, 3], 1, [1, 0]),
])
def test_rows_of_classes(counts, total, want):
    assert rows_of_classes(np.array(counts), total).tolist() == want


@pytest.mark.parametrize("which", CHOSEN)
def test_as_two_arrays_that_were_split_before(nn, which):
    first, last = split(which)
    weights = np.random.default_rng(0).uniform(0.5, 2, size=50)
    one, history = train(nn, X, CLASSES, validation_split=0.2, validation_rows=which, sample_weight=weights)
    two, want = train(nn, X[first], CLASSES[first], sample_weight=weights[first],
                      validation_data=(X[last], CLASSES[last], weights[last]))
    same_parameters(one, two)
    assert history == want


@pytest.mark.parametrize("which", CHOSEN)
def test_a_second_fit_holds_out_the_same_rows(nn, which):
    """Else what validated at first would be trained on."""
    given = {"validation_split": 0.2, "validation_rows": which, "optimizer": nn.SGD(lr=0.0), "metrics": ["accuracy"]}
    model, one = train(nn, X, CLASSES, **given)
    _, two = train(nn, X, CLASSES, model=model, **given)
    assert one["val_loss"] == two["val_loss"]


@pytest.mark.parametrize("which", CHOSEN)
def test_a_training_goes_on_with_the_same_rows(nn, tmp_path, which):
    given = {"validation_split": 0.2, "validation_rows": which}
    want, history = train(nn, X, CLASSES, epochs=4, **given)
    model, optimizer = net(nn), nn.SGD(lr=0.1, momentum=0.9)
    path = tmp_path / "run.safetensors"
    train(nn, X, CLASSES, model=model, optimizer=optimizer, callbacks=[nn.ModelCheckpoint(path)], **given)
    again, found = train(nn, X, CLASSES, model=net(nn, seed=3), epochs=4, resume=path,
                         callbacks=[nn.ModelCheckpoint(path)], **given)
    same_parameters(again, want)
    assert found == history


@pytest.mark.parametrize("which", CHOSEN)
@pytest.mark.parametrize("kind", ["float64", "int8"])
def test_files(nn, tmp_path, which, kind):
    """The bits of arrays in memory, and no copy of the file."""
    x, t = np.round(4 * X).astype(kind), np.eye(3, dtype=kind)[CLASSES]
    given = {"validation_split": 0.2, "validation_rows": which, "loss": nn.MSELoss(), "metrics": ["mae"]}
    want, history = train(nn, x, t, **given)
    mapped = in_file(tmp_path, x), in_file(tmp_path, t, "t.bin")
    for data in ((mapped[0], t), (x, mapped[1]), mapped):
        model, found = train(nn, *data, **given)
        same_parameters(model, want)
        assert found == history


def test_a_file_stays_in_the_file(nn, tmp_path, monkeypatch):
    """Batches and predictions are read; the rows as a whole never are."""
    read, get = [], FileRows.__getitem__
    monkeypatch.setattr(FileRows, "__array__", None)
    monkeypatch.setattr(FileRows, "__getitem__", lambda rows, key: read.append(len(get(rows, key))) or get(rows, key))
    x = in_file(tmp_path, np.tile(X, (60, 1)))
    train(nn, x, np.tile(CLASSES, 60), validation_split=0.5, validation_rows="random", epochs=1)
    assert 8 in read and max(read) <= 1024


@pytest.mark.parametrize("which", ["end", *CHOSEN])
@pytest.mark.parametrize("part", [0, 1])
def test_errors_count_rows_as_the_user_does(nn, which, part):
    row = np.arange(50)[split(which)[part]][-1]
    x, t = X.copy(), CLASSES.copy()
    x[row, 0], t[row] = np.inf, 0 if which == "stratified" else 7
    with pytest.raises(ValueError, match=f"x: expected finite values, got inf at row {row}$"):
        train(nn, x, CLASSES, validation_split=0.2, validation_rows=which)
    if which != "stratified":
        with pytest.raises(ValueError, match=f"t: expected class numbers from 0 to 2, got 7 at row {row}$"):
            train(nn, X, t, validation_split=0.2, validation_rows=which)


@pytest.mark.parametrize("which", ["end", "random"])
def test_errors_about_balanced_weights_and_shapes_are_about_what_was_passed(nn, which):
    """Both come before any row is looked at by itself."""
    row = np.arange(50)[split(which)[0]][-1]
    balanced = nn.CrossEntropyLoss(class_weight="balanced")
    given = {"validation_split": 0.2, "validation_rows": which}
    t = np.where(np.arange(50) == row, 7, CLASSES)
    with pytest.raises(ValueError, match=f"^t: expected class numbers from 0 to 2, got 7 at row {row}$"):
        train(nn, X, t, loss=balanced, **given)
    with pytest.raises(ValueError, match=f"^t: expected class numbers from 0 to 2, got 7 at row {row}$"):
        net(nn).fit_lbfgs(X, t, loss=balanced, **given)
    for loss in (nn.CrossEntropyLoss(), balanced):
        with pytest.raises(ValueError, match=r"probabilities \(50, 3\), got \(50, 1\); numpy\.ravel\(t\)"):
            train(nn, X, CLASSES[:, None], loss=loss, **given)


def test_nan_behind_the_first_rows_of_a_file_that_are_read(nn, tmp_path):
    """Python's ``min`` and ``max`` lose a NaN that is not the first."""
    x = np.tile(X, (100, 1))
    row = int(choose_rows(5000, 1000, "random", np.zeros(5000), 3)[0][-1])
    x[row, 2] = np.nan
    rows = FileRows(x, np.arange(5000))
    assert np.isnan([rows.min(), rows.max()]).all()
    with pytest.raises(ValueError, match=f"^x: expected finite values, got nan at row {row}$"):
        train(nn, in_file(tmp_path, x), np.tile(CLASSES, 100), validation_split=0.2, validation_rows="random")


@pytest.mark.parametrize(("t", "arguments", "text"), [
    (CLASSES, {"validation_rows": "first"}, "validation_rows: unknown name 'first', known: end, random, stratified"),
    (CLASSES, {"validation_split": 0, "validation_rows": "random"},
     "validation_rows: expected 'end' without validation_split, got 'random'"),
    (np.tile([0.2, 0.8, 0.0], (50, 1)), {}, r"t: expected a class for each row, .*, got \(50, 3\)"),
    (np.arange(50) // 3, {}, r"validation_split: expected to leave a row of each class, got 45 of 50 rows of 17"),
])
def test_errors(nn, t, arguments, text):
    model = net(nn)
    given = {"validation_split": 0.9 if "leave" in text else 0.2, "validation_rows": "stratified"} | arguments
    with pytest.raises(ValueError, match=text):
        train(nn, X, t, model=model, **given)
    assert model.steps == 0


@pytest.mark.parametrize("arguments", [{}, {"gradient_accumulation_steps": 2}, {"shards": 2}, {"shuffle": "blocks"}])
@pytest.mark.parametrize("own", [{}, {"validation_split": 0.2, "validation_rows": "random"}])
def test_errors_count_rows_as_the_user_does_where_batches_are_parts(nn, arguments, own):
    """The bad row is in none of the rows that are predicted before training, and no hook is called."""
    class Hook(nn.Callback):
        def on_train_begin(self, logs=None):
            raise AssertionError

    x, t = np.tile(X, (40, 1)), np.tile(CLASSES, 40)
    row = int(choose_rows(2000, 400, "random", t, 3)[0][-1] if own else 1999)
    t[row] = 7
    with pytest.raises(ValueError, match=f"^t: expected class numbers from 0 to 2, got 7 at row {row}$"):
        train(nn, x, t, callbacks=[Hook()], **own, **arguments)


def test_an_error_of_a_users_own_says_what_it_says(nn):
    class Own(nn.CustomLoss):
        def value_and_gradient(self, y, t, weights):
            raise ValueError("t: expected more of (8, 3) at row 3")

    with pytest.raises(ValueError, match=r"^t: expected more of \(8, 3\) at row 3$"):
        train(nn, X, X[:, :3], loss=Own(), validation_split=0.2, validation_rows="random")


def test_an_error_about_other_data_keeps_its_row(nn):
    """Of a loss of one's own that asks another one about a batch, and of a hook that evaluates other data."""
    x, t = np.tile(X, (40, 1)), np.tile(CLASSES, 40)
    said = []

    class Own(nn.CustomLoss):
        def prepare_targets(self, t, shape, dtype):
            return np.asarray(t)

        def value_and_gradient(self, y, t, weights):
            try:
                return (loss := nn.CrossEntropyLoss()).forward(y, t), loss.backward()
            except ValueError as error:
                said.append(str(error))
                raise

    class Hook(nn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(x, np.where(np.arange(2000) == 1900, 7, t), nn.CrossEntropyLoss())

    chosen = {"validation_split": 0.2, "validation_rows": "random"}
    bad = t.copy()
    bad[choose_rows(2000, 400, "random", t, 3)[0][-1]] = 7
    with pytest.raises(ValueError, match="got 7 at row") as caught:
        train(nn, x, bad, loss=Own(), **chosen)
    assert [str(caught.value)] == said and int(said[0].split()[-1]) < 8
    with pytest.raises(ValueError, match=r"^t: expected class numbers from 0 to 2, got 7 at row 1900$"):
        train(nn, x, t, callbacks=[Hook()], **chosen)


@pytest.mark.parametrize("arguments", [{}, {"shards": 2}])
def test_what_a_users_own_code_asks_about_other_data_keeps_its_row_in_the_first_look_too(nn, arguments):
    def ask(*_):
        nn.CrossEntropyLoss().forward(np.zeros((3, 3)), np.array([0, 1, 9]))

    class Loss(nn.CustomLoss):
        value_and_gradient = ask

    class Predicting(nn.CustomLayer):
        def forward_pass(self, x, training):
            return x if training else ask()

    class Training(nn.CustomLayer):
        def forward_pass(self, x, training):
            return ask() if training else x

    for layer, loss in ((nn.Identity(), Loss()), (Predicting(), nn.MSELoss()), (Training(), nn.MSELoss())):
        with pytest.raises(ValueError, match=r"^t: expected class numbers from 0 to 2, got 9 at row 2$"):
            nn.Sequential(nn.Linear(6, 3), layer, seed=3).fit(
                X, X[:, :3], loss=loss, optimizer=nn.SGD(), validation_split=0.2, validation_rows="random", **arguments)


@pytest.mark.parametrize(("held_out", "text"), [
    ((X[0], CLASSES[:1]), "validation_data[0]: expected (n, 6), got (6,); numpy.expand_dims(validation_data[0], 0) is "
                          "a batch of one"),
    (([X, X], CLASSES), "validation_data[0]: expected one array, got a list of 2; np.hstack"),
    ((X, ["a"] * 50), "validation_data[1]: expected numbers, got text; sklearn.preprocessing.LabelEncoder"),
    ((X, CLASSES[:, None, None]), "validation_data[1]: expected class numbers (50,) or probabilities (50, 3), got "
                                  "(50, 1, 1)"),
    ((X, CLASSES[:, None]), "probabilities (50, 3), got (50, 1); numpy.ravel(validation_data[1]) has that shape"),
    ((X, CLASSES, np.ones(3)), "validation_data[2]: expected (50,), one number for each row of validation_data[0]"),
])
def test_hints_name_what_the_user_passed(nn, held_out, text):
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        train(nn, X, CLASSES, validation_data=held_out)
