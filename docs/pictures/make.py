"""The pictures of docs/plots.md, each from a real training: ``python docs/pictures/make.py`` (some seconds).

Needs ``pip install "fastnn[train]"``. The digits and the moons are scikit-learn's; Pillow comes with matplotlib.
"""

from pathlib import Path

from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, make_moons
from sklearn.model_selection import train_test_split

import fastnn as nn
from fastnn import plot

FOLDER = Path(__file__).parent


def write(figure, name):
    """A small file: 64 colours are enough for a plot."""
    path = FOLDER / f"{name}.png"
    plot.save(figure, path, dpi=90)
    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def save(name, *, width=5.2, height=3.6, panels=1):
    """Gives the Axes to draw into, then saves them."""
    figure = plot.new_figure(width, height)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    yield axes[0] if panels == 1 else axes
    write(figure, name)


def digits(shape=(64,)):
    """Training and held-out digits, 0 … 1."""
    x, t = load_digits(return_X_y=True)
    x = (x / 16).astype("float32").reshape(-1, *shape)
    return train_test_split(x, t, test_size=0.3, random_state=0, stratify=t)


def classifier():
    """A network on few digits, which it learns by heart: curves, confusion matrix, reliability, mistakes."""
    x, x_test, t, t_test = digits()
    x, t = x[:300], t[:300]
    model = nn.Sequential(nn.Linear(64, 64, activation="relu"), nn.Linear(64, 10), seed=1)
    optimizer, stopping = nn.Adam(lr=0.003), nn.EarlyStopping(patience=25)
    history = model.fit(x, t, loss=nn.CrossEntropyLoss(), optimizer=optimizer, epochs=300, metrics=["accuracy"],
                        validation_data=(x_test, t_test), callbacks=[stopping])
    for axes in save("learning_curves", width=9, panels=2):
        plot.learning_curves(history, early_stopping=stopping, ax=axes[0])
        plot.learning_curves(history, "accuracy", early_stopping=stopping, ax=axes[1])
    y = model.predict(x_test)
    for ax in save("confusion_matrix", width=4.4, height=4.2):
        plot.confusion_matrix(y, t_test, ax=ax)
    for ax in save("reliability_diagram", width=4.8, height=4.2):
        plot.reliability_diagram(y, t_test, ax=ax)
    figure = plot.new_figure(5.6, 3.6)
    plot.mistakes(x_test.reshape(-1, 8, 8), y, t_test, rows=2, columns=5, figure=figure)
    write(figure, "mistakes")


def regression():
    """Predicted against true values of scikit-learn's diabetes data."""
    x, t = load_diabetes(return_X_y=True)
    x /= x.std(axis=0)
    model = nn.Sequential(nn.Linear(10, 32, activation="relu"), nn.Linear(32, 1), seed=0)
    model.fit(x[:300], t[:300] / 100, loss=nn.MSELoss(), optimizer=nn.Adam(), epochs=50)
    for ax in save("predicted_values", width=4.8, height=4.2):
        plot.predicted_values(100 * model.predict(x[300:]), t[300:], name="progression", ax=ax)


def inside():
    """Filters of a convolution and of a Linear, weights, dead and saturated units, gradients and updates."""
    x, _, t, _ = digits((1, 8, 8))
    loss = nn.CrossEntropyLoss()
    convolution = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2, activation="relu"), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10), seed=0)
    convolution.fit(x, t, loss=loss, optimizer=nn.Adam(), epochs=30)
    flat = x.reshape(-1, 64)
    linear = nn.Sequential(nn.Linear(64, 16, activation="relu"), nn.Linear(16, 10), seed=0, penalty=nn.L2(0.003))
    linear.fit(flat, t, loss=loss, optimizer=nn.Adam(), epochs=60)
    for axes in save("filters", width=8, height=3.6, panels=2):
        plot.filters(convolution, ax=axes[0])
        plot.filters(linear, image_shape=(8, 8), ax=axes[1])
    deep = nn.Sequential(
        nn.Linear(64, 48, activation="relu"), nn.Linear(48, 48, activation="tanh"),
        nn.Linear(48, 48, activation="sigmoid"), nn.Linear(48, 10), seed=0)
    recorder = nn.UpdateRecorder(every=20)
    deep.fit(flat, t, loss=loss, optimizer=nn.Adam(lr=0.02), epochs=25, callbacks=[recorder])
    for axes in save("gradients_and_updates", width=9, panels=2):
        plot.gradient_norms(recorder, ax=axes[0])
        plot.update_ratios(recorder, ax=axes[1])
    for ax in save("weight_histograms", height=4):
        plot.weight_histograms(deep, ax=ax)
    for ax in save("unit_activity", width=6.4, height=3.2):
        plot.unit_activity(deep, flat[:500], ax=ax)


def activations():
    """Three activations and their slopes."""
    for axes in save("activation", width=10, height=3.2, panels=3):
        for kind, ax in zip(("relu", "tanh", "gelu"), axes, strict=True):
            plot.activation(kind, ax=ax)


def moons():
    """The decision boundary of a small network, and the range test before it was trained."""
    x, t = make_moons(300, noise=0.2, random_state=0)
    model = nn.Sequential(nn.Linear(2, 32, activation="tanh"), nn.Linear(32, 2), seed=0)
    loss, optimizer = nn.CrossEntropyLoss(), nn.Adam()
    found = nn.find_lr(model, x, t, loss=loss, optimizer=optimizer, high=10)
    for ax in save("lr_range"):
        plot.lr_range(found, ax=ax)
    optimizer.lr = found.suggestion
    model.fit(x, t, loss=loss, optimizer=optimizer, epochs=150)
    for ax in save("decision_boundary"):
        plot.decision_boundary(model, x, t, ax=ax)


if __name__ == "__main__":
    classifier()
    regression()
    inside()
    activations()
    moons()
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.glob("*.png"))}
    print("\n".join(f"{size:7,} {name}" for name, size in sizes.items()), f"\n{sum(sizes.values()):7,} bytes")
