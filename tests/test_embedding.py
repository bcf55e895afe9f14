"""Embedding: rows of a table. Beside a Linear of one-hot rows, which is the same function."""

import numpy as np
import pytest

from fastnn_ref.shared.custom import CustomLoss
from tests.cases import ROWS
from tests.check import check_against_reference, check_gradient, close, inputs, normal, same
from tests.pairwise import chequered


def name_of(case):
    return case.name


@pytest.mark.parametrize("case", ROWS, ids=name_of)
def test_gradient(ref, case):
    check_gradient(ref.Sequential(case.make(ref), seed=1, dtype="float64"), inputs(case))


@pytest.mark.parametrize("case", ROWS, ids=name_of)
def test_engine_agrees(ref, fast, isa, dtype, case):
    check_against_reference(ref, fast, case, dtype)


def test_formula(nn, dtype):
    """W[x] is onehot(x) @ W; dW, too, is that of the product."""
    x = np.array([[4, 0, 4], [2, 4, 1]])
    model = nn.Sequential(nn.Embedding(5, 3), dtype=dtype)
    weight = model[0].weight
    hot = np.eye(5)[x]
    same(model.forward(x, training=True), weight[x])
    dy = normal((2, 3, 3), dtype, seed=1)
    same(model.backward(dy), np.zeros((2, 3), dtype))
    want = np.einsum("nli,nlj->ij", hot, dy.astype("f8"))
    scale = np.einsum("nli,nlj->ij", hot, np.abs(dy).astype("f8"))
    close("sum", model.grads["0.weight"], want.astype(dtype), scale + 1)


@chequered
@pytest.mark.parametrize("value", [5, -1, 0.5, 1.999 - 0.01, np.nan, np.inf, -np.inf, 1e30])
def test_a_number_without_a_row(nn, dtype, value):
    """An error that names it, and the step has not happened."""
    model = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2), dtype=dtype)
    before, optimizer = model.state_dict(), nn.Adam()
    x = np.array([[0, 1], [4, value]])
    for use in (lambda: model(x), lambda: model.step(x, [0, 1], nn.CrossEntropyLoss(), optimizer),
                lambda: model.run_epoch(x, [0, 1], nn.CrossEntropyLoss(), optimizer)):
        with pytest.raises(ValueError, match=r"^x: Embedding: expected whole numbers from 0 to 4, got .* at row 1$"):
            use()
    assert (model.steps, optimizer.steps) == (0, 0)
    for name, array in model.state_dict().items():
        same(array, before[name], name)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_fit_looks_for_numbers_without_a_row_before_the_first_step(nn, shape):
    """Behind the first rows it ended an epoch in its midst, and validation data a first epoch, by an error without a
    row."""
    table = [nn.Embedding(5, 3), nn.Flatten()]
    if shape:
        table = [nn.Parallel(nn.Sequential(nn.Select(0, 2), *table), nn.Sequential(nn.Select(2, 3), nn.Linear(1, 2)))]
    model, optimizer = nn.Sequential(*table, nn.Linear(8 if shape else 3, 2)), nn.Adam()
    x, t = np.arange(2000 * (shape or (1,))[0]).reshape(2000, *shape) % 4, np.arange(2000) % 2
    if shape:
        x[:, 2] = 9                                     # no number of a row
    wrong, arguments = x.copy(), {"loss": nn.CrossEntropyLoss(), "optimizer": optimizer}
    wrong[(1700, 1) if shape else 1700] = 5
    before, said = model.state_dict(), "Embedding: expected whole numbers from 0 to 4, got 5 at row"
    for fit, message in (
            (lambda: model.fit(wrong, t, **arguments), f"^x: {said} 1700$"),
            (lambda: model.fit(wrong, t, validation_split=0.5, validation_rows="random", **arguments), f"{said} 1700$"),
            (lambda: model.fit(x, t, validation_data=(wrong, t), **arguments), rf"^validation_data\[0\]: {said} 1700$"),
            (lambda: model.fit([(wrong, t)], **arguments), rf"^batch 0\[0\]: {said} 1700$"),
            (lambda: nn.find_lr(model, wrong, t, **arguments), f"^x: {said} 1700$")):
        with pytest.raises(ValueError, match=message):
            fit()
    assert (model.steps, optimizer.steps) == (0, 0)
    for name, array in model.state_dict().items():
        same(array, before[name], name)
    model.fit(x, t, validation_data=(x, t), **arguments)


def test_an_epoch_looks_for_numbers_without_a_row_before_its_first_step(nn):
    inside = nn.Parallel(nn.Sequential(nn.Select(0, 2), nn.Embedding(9, 2), nn.Flatten()),
                         nn.Sequential(nn.Select(2, 3), nn.Embedding(5, 2), nn.Flatten()))
    x, t = np.zeros((6000, 3)), np.arange(6000) % 3
    x[5999, 2] = 7
    for first in inside, nn.Sequential(nn.Embedding(5, 2), nn.Flatten()):
        model, optimizer = nn.Sequential(first, nn.Linear(6, 3), dtype="float64"), nn.SGD()
        for bad in 7, 4.5, np.nan:
            x[5999, 2] = bad
            with pytest.raises(ValueError, match=f"^x: Embedding: .* from 0 to 4, got {bad} at row 5999$"):
                model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer, shuffle=False)
            assert (model.steps, optimizer.steps) == (0, 0)
        x[5999, 2] = 4
        model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer)


class LossOfItsOwn(CustomLoss):
    def value_and_gradient(self, y, t, weights):
        return 0.0, np.zeros_like(y)


def test_the_row_is_that_of_all_x_where_it_is_taken_in_parts(nn):
    model = nn.Sequential(nn.Identity(), nn.Embedding(5, 2), nn.Flatten(), nn.Linear(2, 2))
    x, t = np.zeros((50, 1)), np.zeros(50, int)
    x[43] = -1
    for use in (lambda: model.predict(x, batch_size=20), lambda: model.predict_classes(x, batch_size=20),
                lambda: model.predictor().predict(x, batch_size=20),
                lambda: model.evaluate(x, t, nn.CrossEntropyLoss(), batch_size=20),
                lambda: model.evaluate(x, t, LossOfItsOwn(), batch_size=20),
                lambda: model.outputs(x, batch_size=20)):
        with pytest.raises(ValueError, match=r"^x: Embedding: expected whole numbers from 0 to 4, got -1 at row 43$"):
            use()


@pytest.mark.parametrize("first", [("Identity",), ("Flatten",), ("Dropout", 0.5), ("Unflatten", 1, (2, 1))])
def test_numbers_pass_through_what_stands_before_the_table(nn, first):
    model = nn.Sequential(getattr(nn, first[0])(*first[1:]), nn.Embedding(5, 2), nn.Flatten(), nn.Linear(4, 2))
    x, t, optimizer = np.zeros((2000, 2)), np.zeros(2000, int), nn.SGD()
    x[1700, 1] = 7
    for fit in (lambda: model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=optimizer),
                lambda: model.run_epoch(x, t, nn.CrossEntropyLoss(), optimizer)):
        with pytest.raises(ValueError, match=r"^x: Embedding: expected whole numbers from 0 to 4, got 7 at row 1700$"):
            fit()
    assert (model.steps, optimizer.steps) == (0, 0)


@chequered
def test_behind_a_number_without_a_row_nothing_changes(nn):
    block = nn.StochasticDepth(nn.Linear(6, 6), 0.01)
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.BatchNorm1d(6), block, nn.Linear(6, 3))
    model.step(np.zeros((4, 3)), [0, 1, 2, 0], nn.CrossEntropyLoss(), optimizer := nn.Adam())
    before = nn.training_state(model, optimizer)
    for _ in range(8):
        with pytest.raises(ValueError, match="Embedding: expected"):
            model.step(np.full((4, 3), 7), [0, 1, 2, 0], nn.CrossEntropyLoss(), optimizer)
    after = nn.training_state(model, optimizer)
    assert repr({**after, "model": 0}) == repr({**before, "model": 0})
    for name, value in before["model"].items():
        same(after["model"][name], value)


def test_it_is_told_where_a_prediction_saves_nothing(nn):
    """The linear layer works out the two behind it, so forward takes the way of predict."""
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU())
    x = np.array([[1, 2], [3, 9], [0, 7]])
    for predict in (model, model.forward, model.predict, model.predictor()):
        with pytest.raises(ValueError, match=r"^x: Embedding: expected whole numbers from 0 to 4, got 9 at row 1$"):
            predict(x)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward(np.ones((3, 6)))
    assert model(x[:1]).shape == (1, 6)


def test_it_is_told_by_all_threads_of_a_prediction(fast):
    """Wherever the row stands, whichever thread takes it; of several the first one is told."""
    model = fast.Sequential(fast.Embedding(5, 16), fast.Conv2d(3, 16, 3, padding=1), fast.ReLU(), fast.Conv2d(16, 4, 3))
    before = fast.get_num_threads()
    fast.set_num_threads(2)
    try:
        want = model.predict(np.zeros((1000, 3, 16)), batch_size=1000)
        for first in range(0, 1000, 111):
            x = np.zeros((1000, 3, 16))
            x[first:, 1, 2] = np.arange(first, 1000) + 5
            for predict in (model, lambda x: model.predict(x, batch_size=1000), model.predictor()):
                with pytest.raises(ValueError, match=f"^x: Embedding: .* got {first + 5} at row {first}$"):
                    predict(x)
        same(model.predict(np.zeros((1000, 3, 16)), batch_size=1000), want)
    finally:
        fast.set_num_threads(before)


def test_integers_and_whole_floats_are_one(nn):
    model = nn.Sequential(nn.Embedding(300, 2))
    for kind in ("uint8", "int64", "float32", "float64"):
        same(model(np.array([[0, 255, 7]], kind)), model(np.array([[0.0, 255.0, 7.0]])))
    same(model(np.array([[7 + 1e-6]])), model(np.array([[7]])))


def test_every_number_of_a_large_table_has_its_row(nn, dtype):
    """A float32 of 2²³ or more has no halves: x + ½ is rounded to the even neighbour."""
    count = 2**23 + 6
    model = nn.Sequential(nn.Embedding(count, 1, init="zeros"), dtype=dtype)
    model[0].weight[-6:, 0] = np.arange(6)
    x = np.arange(count - 6, count).reshape(3, 2)
    same(model.forward(x, training=True), np.arange(6).reshape(3, 2, 1).astype(dtype))
    model.backward(1 + np.arange(6).reshape(3, 2, 1).astype(dtype))
    same(model.grads["0.weight"][-7:, 0], np.arange(7).astype(dtype))
    with pytest.raises(ValueError, match=f"numbers from 0 to {count - 1}, got {count} at row 0$"):
        model(np.array([[0, count]]))


def test_rows_that_nobody_asked_for_stay(nn):
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(4, 1), dtype="float64")
    before = model[0].weight.copy()
    model.step([[1, 3]], [[9.0]], nn.MSELoss(), nn.SGD(lr=0.1))
    changed = (model[0].weight != before).any(axis=1)
    assert changed.tolist() == [False, True, False, True, False]


def test_it_starts_from_normal_numbers(nn):
    weight = nn.Embedding(2000, 3).weight
    assert abs(weight.mean()) < 0.05 and abs(weight.std() - 1) < 0.05


def test_frozen(nn):
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(4, 1), dtype="float64")
    model[0].trainable = False
    before = model[0].weight.copy()
    model.step([[1, 3]], [[9.0]], nn.MSELoss(), nn.SGD(lr=0.1))
    same(model[0].weight, before)


def test_sizes(nn):
    with pytest.raises(ValueError, match="num_embeddings: expected"):
        nn.Embedding(0, 3)
    with pytest.raises(ValueError, match="num_embeddings: expected"):
        nn.Embedding(2**24 + 1, 3)
    with pytest.raises(ValueError, match="init: unknown name"):
        nn.Embedding(3, 3, init="norml")
