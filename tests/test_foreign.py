"""Inputs as other libraries have them: the same training as with the array, or an error that says what to do."""

import numpy as np
import pytest

from tests.check import same_parameters

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
T = np.arange(40) % 3


def trained(nn, x, t=T):
    model = nn.Sequential(nn.Linear(3, 4, activation="relu"), nn.Linear(4, 3), seed=0, dtype="float32")
    model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(0.1), epochs=2, batch_size=16)
    return model


def frame():
    return pytest.importorskip("pandas").DataFrame(X.copy(), columns=["age", "income", "height"])


def test_frames(nn):
    pandas = pytest.importorskip("pandas")
    plain = trained(nn, X)
    mixed = frame().astype({"age": "Float32", "income": np.float64})
    for x in (frame(), frame().astype("Float64"), mixed):
        same_parameters(trained(nn, x, pandas.Series(T, dtype="Int64")), plain)
    signs = frame() > 0
    same_parameters(trained(nn, signs.astype({"age": "boolean", "income": "Int8"})), trained(nn, X > 0))
    same_parameters(trained(nn, signs.astype({"age": object})), trained(nn, X > 0))


def test_a_column_without_numbers_is_named(nn):
    pandas = pytest.importorskip("pandas")
    words = {"category": pandas.Categorical(["low", "high"] * 20), "text": ["low"] * 40}
    for what, values in (("categories", words["category"]), ("text", words["text"])):
        with pytest.raises(TypeError, match=rf"^x\['income'\]: expected numbers, got {what}; pandas.get_dummies"):
            trained(nn, frame().assign(income=values))
    with pytest.raises(TypeError, match=r"^x\['income'\]: expected numbers, got dtype datetime64"):
        trained(nn, frame().assign(income=pandas.Timestamp("2026-01-01")))
    with pytest.raises(TypeError, match=r"^validation_data\[0\]\['age'\]: expected numbers, got text"):
        nn.Sequential(nn.Linear(3, 3)).fit(
            X, T, loss=nn.CrossEntropyLoss(), optimizer=nn.SGD(), validation_data=(frame().assign(age="old"), T))
    with pytest.raises(TypeError, match=r"^x: expected a name of its own for each column"):
        trained(nn, frame().assign(age="old").rename(columns={"income": "age"}))


class Frame:
    """A data frame that makes an array of its columns as polars does, which the tests do without."""

    def __init__(self, **columns):
        self.all = columns
        self.columns, self.dtypes = list(columns), [Dtype(column.dtype) for column in columns.values()]

    def __array__(self, dtype=None, copy=None):
        return np.column_stack([column.astype(np.float64) for column in self.all.values()])

    def __getitem__(self, name):
        return self.all[name]


class Dtype:
    def __init__(self, dtype):
        self.dtype = dtype

    def is_temporal(self):
        return self.dtype.kind in "mM"


@pytest.mark.parametrize("dates", ["datetime64[D]", "timedelta64[us]"])
def test_dates_among_numbers_are_none(nn, dates):
    same_parameters(trained(nn, Frame(age=X[:, 0], income=X[:, 1], height=X[:, 2])), trained(nn, X))
    with pytest.raises(TypeError, match=rf"^x\['income'\]: expected numbers, got dtype {dates[:-4]}"):
        trained(nn, Frame(age=X[:, 0], income=np.arange(40).astype(dates), height=X[:, 2]))


def test_frames_of_polars(nn):
    polars = pytest.importorskip("polars")
    x = polars.DataFrame(dict(zip(["age", "income", "height"], X.T, strict=True)))
    same_parameters(trained(nn, x, polars.Series(T)), trained(nn, X))
    days = polars.Series("income", np.arange(40).astype("datetime64[D]"))
    for column, what in (
        (days, "numbers, got dtype datetime64"), (days - days[0], "numbers, got dtype timedelta64"),
        (days.cast(polars.String), "numbers, got text"), (days.is_null().to_frame().to_struct("income"), "a number in"),
    ):
        with pytest.raises(TypeError, match=rf"^x\['income'\]: expected {what}"):
            trained(nn, x.with_columns(column))


def test_a_missing_value_is_named(nn):
    pandas = pytest.importorskip("pandas")
    for x in (frame(), frame().astype("Float64")):
        x.loc[7, "income"] = pandas.NA if x["income"].dtype == "Float64" else np.nan
        with pytest.raises(ValueError, match=r"^x: expected finite values, got nan at row 7, column 'income'$"):
            trained(nn, x)
    x = frame().astype({"income": "float64"})
    x.loc[7, "income"] = 1e39
    with pytest.raises(ValueError, match=r"^x: expected values within the range of float32, got 1e\+39 at row 7, "
                                         r"column 'income'$"):
        trained(nn, x)
    t = pandas.Series(T, dtype="Int64")
    t[5] = pandas.NA
    with pytest.raises((TypeError, ValueError), match=r"^t: expected .*(missing value|nan) at row 5"):
        trained(nn, X, t)
    with pytest.raises(TypeError, match=r"^t: expected numbers, got categories; sklearn.preprocessing.LabelEncoder"):
        trained(nn, X, pandas.Series(pandas.Categorical(["a", "b"] * 20)))


def test_tensors(nn):
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    plain = trained(nn, X)
    same_parameters(trained(nn, x, torch.tensor(T)), plain)
    same_parameters(trained(nn, x.clone().requires_grad_(), torch.tensor(T)), plain)
    rounded = x.bfloat16()
    same_parameters(trained(nn, rounded), trained(nn, rounded.float().numpy()))
    with pytest.raises(TypeError, match=r"^x: expected a dense tensor of numbers .* got a Tensor .*sparse"):
        trained(nn, x.to_sparse())
    with pytest.raises(TypeError, match=r"^x: expected a dense tensor of numbers in main memory, got a Tensor .*meta"):
        trained(nn, x.to("meta"))


def test_sparse_and_masked(nn):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^x: expected a dense array, got a csr_\w+; x.toarray\(\) makes one"):
        trained(nn, sparse.csr_matrix(X))
    with pytest.raises(TypeError, match=r"^x: expected an array without a mask"):
        trained(nn, np.ma.masked_array(X, mask=X > 2))


def test_targets_in_half_precision(nn):
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 40)
    assert np.abs(rows.astype(np.float16).sum(axis=1, dtype=float) - 1).max() > 1e-4
    trained(nn, X, rows.astype(np.float16))
    with pytest.raises(ValueError, match=r"^t: expected rows that sum to 1, got 1.00\d* at row 0"):
        trained(nn, X, rows.astype(np.float16) * np.float16(1.004))


def test_a_series_as_the_one_feature(nn):
    """pandas knows no ``x[:, None]``."""
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"got \(40,\); numpy\.expand_dims\(x, 1\) adds the axis$"):
        nn.Sequential(nn.Linear(1, 3)).predict(pandas.Series(X[:, 0]))


def test_a_column_of_class_numbers(nn):
    """pandas knows no ``t[..., 0]``."""
    with pytest.raises(ValueError, match=r"got \(40, 1\); numpy\.ravel\(t\) has that shape$"):
        trained(nn, X, T[:, None])
    with pytest.raises(ValueError, match=r"got \(2, 4, 4, 1\); t\[\.\.\., 0\] has that shape$"):
        nn.CrossEntropyLoss().forward(np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4, 1)))


def test_bytes_are_said(nn):
    x = np.random.default_rng(0).integers(0, 256, (40, 3), np.uint8)
    with pytest.warns(nn.TrainingWarning, match=r"x holds bytes, up to 2\d\d.*x / 255"):
        trained(nn, x)


@pytest.mark.filterwarnings("error")
def test_scaled_values_are_not(nn):
    trained(nn, np.random.default_rng(0).integers(0, 2, (40, 3), np.uint8))


def test_names_of_other_libraries(nn):
    with pytest.raises(AttributeError, match="has no attribute 'Dense'; it is Linear here"):
        nn.Dense()
    with pytest.raises(AttributeError, match=r"has no attribute 'xyzzy'$"):
        nn.xyzzy()


def test_no_abstract_class_is_advised(nn):
    model = nn.Sequential(nn.Linear(3, 3))
    for loss in (5, nn.Loss, "loss"):
        with pytest.raises(TypeError, match=r"^loss: expected a Loss of \w+, got [^;]*$"):
            model.fit(X, T, loss=loss, optimizer=nn.SGD())
