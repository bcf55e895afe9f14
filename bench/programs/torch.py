"""The same programs in PyTorch's words: modules, the loop around the batches, what is watched while it runs.

The loop shuffles once an epoch and takes slices, which is faster than a ``DataLoader``.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.nets import package
from bench.programs.examples import character_mlp, gan, structured, wide_and_deep

torch: Any = package("torch")       # not `import`: the types are checked where it is missing, too
nn: Any = torch.nn
Module: Any = nn.Module
circle, noise = gan.circle, gan.noise


def tensors(data: Any) -> list[Any]:
    """float32, and int64 for class numbers."""
    return [torch.from_numpy(np.asarray(part, np.float32 if part.dtype.kind == "f" else np.int64)) for part in data]


def fit(model: Any, loss: Any, optimizer: Any, x: Any, t: Any, epochs: int, batch: int,
        on_epoch: Callable[[], Any] = lambda: None) -> None:
    """Trains; ends when ``on_epoch`` returns True."""
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            loss(model(x[rows]), t[rows]).backward()
            optimizer.step()
        if on_epoch():
            return


def predict(model: Any, x: Any) -> Any:
    """Outputs, as they are outside of training."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(rows) for rows in x.split(1024)])


def accuracy(model: Any, x: Any, t: Any) -> float:
    """Of a classifier with an output for each class."""
    return float((predict(model, x).argmax(dim=1) == t).float().mean())


def pytorchs_mnist(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    fit(model, nn.CrossEntropyLoss(), optimizer, x, t, epochs, 64, schedule.step)
    return accuracy(model, x_test, t_test)


def kerass_mnist(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    n = len(x) - len(x) // 10
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10))
    loss, seen = nn.CrossEntropyLoss(), []

    def on_epoch() -> None:
        y = predict(model, x[n:])
        seen.append((float(loss(y, t[n:])), float((y.argmax(dim=1) == t[n:]).float().mean()),
                     accuracy(model, x[:n], t[:n])))

    fit(model, loss, torch.optim.Adam(model.parameters()), x[:n], t[:n], epochs, 128, on_epoch)
    return accuracy(model, x_test, t_test)


def imbalanced(data: Any, epochs: int) -> dict[str, float]:
    from sklearn import metrics

    x, t, x_test, t_test = tensors([data[0], data[1].astype(float), data[2], data[3].astype(float)])
    model = nn.Sequential(
        nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 64),
        nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1))
    no, yes = len(t) / (2 * (1 - t).sum()), len(t) / (2 * t.sum())

    def loss(y: Any, t: Any) -> Any:
        return nn.functional.binary_cross_entropy_with_logits(y, t, weight=torch.where(t > 0, yes, no))

    fit(model, loss, torch.optim.Adam(model.parameters()), x, t, epochs, 512)
    y, t = predict(model, x_test).numpy(), t_test.numpy()
    found = {name: getattr(metrics, f"{name}_score")(t, y > 0, **options) for name, options in (
        ("accuracy", {}), ("precision", {"zero_division": 0}), ("recall", {}))}
    return {**found, "roc_auc": metrics.roc_auc_score(t, y), "average_precision": metrics.average_precision_score(t, y)}


class Structured(Module):
    def __init__(self, numbers: int, categories: tuple[int, ...]) -> None:
        super().__init__()
        self.numbers = numbers
        self.norm = nn.BatchNorm1d(numbers)
        self.embeddings = nn.ModuleList(nn.Embedding(count, 3) for count in categories)
        self.hidden = nn.Linear(numbers + 3 * len(categories), 32)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(32, 1)

    def forward(self, x: Any) -> Any:
        parts = [self.norm(x[:, :self.numbers])]
        for column, embedding in enumerate(self.embeddings, start=self.numbers):
            parts.append(embedding(x[:, column].long()))
        return self.out(self.dropout(torch.relu(self.hidden(torch.cat(parts, dim=1)))))


def structured_data(data: Any, epochs: int) -> float:
    from sklearn.metrics import roc_auc_score

    x, t, x_test, t_test = tensors(data)
    model = Structured(structured.NUMBERS, structured.CATEGORIES)
    fit(model, nn.BCEWithLogitsLoss(), torch.optim.Adam(model.parameters(), lr=3e-3), x, t, epochs, 32)
    return float(roc_auc_score(t_test, predict(model, x_test)))


def network2(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    model = nn.Sequential(nn.Linear(784, 30), nn.Sigmoid(), nn.Linear(30, 10))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(
        [{"params": [model[0].weight, model[2].weight], "weight_decay": 5.0 / len(x)},
         {"params": [model[0].bias, model[2].bias]}], lr=0.5)
    seen = []

    def loss(y: Any, t: Any) -> Any:
        return nn.functional.binary_cross_entropy_with_logits(y, t, reduction="sum") / len(y)

    def on_epoch() -> None:
        y = predict(model, x_test)
        seen.append((float(loss(y, torch.eye(10)[t_test])), float((y.argmax(dim=1) == t_test).float().mean())))

    fit(model, loss, optimizer, x, torch.eye(10)[t], epochs, 10, on_epoch)
    return accuracy(model, x_test, t_test)


def micrograd(data: Any, epochs: int) -> float:
    x, t = tensors(data)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=2e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, epochs)

    def hinge(y: Any, t: Any) -> Any:
        return torch.relu(1 - (2 * t - 1) * y).mean()

    fit(model, hinge, optimizer, x, t, epochs, len(x), schedule.step)
    return float(((predict(model, x) > 0) == (t > 0)).float().mean())


def d2l_dropout(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 10))
    fit(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1), x, t, epochs, 256)
    return accuracy(model, x_test, t_test)


def d2l_weight_decay(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    model = nn.Linear(200, 1)
    nn.init.normal_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD([{"params": model.weight, "weight_decay": 3.0}, {"params": model.bias}], lr=0.01)
    fit(model, nn.MSELoss(), optimizer, x, t, epochs, 5)
    return float(nn.functional.mse_loss(predict(model, x_test), t_test))


class EarlyStopping:
    """Has the loss on held-out rows not fallen for ``patience`` epochs? Keeps the best weights."""

    def __init__(self, model: Any, loss: Any, x: Any, t: Any, patience: int = 10) -> None:
        self.model, self.loss, self.x, self.t, self.patience = model, loss, x, t, patience
        self.best, self.waited = math.inf, 0

    def __call__(self) -> bool:
        value = float(self.loss(predict(self.model, self.x), self.t))
        if value < self.best:
            self.best, self.waited, self.weights = value, 0, copy.deepcopy(self.model.state_dict())
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self) -> None:
        self.model.load_state_dict(self.weights)


class Characters(Module):
    def __init__(self, letters: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, 8)
        self.hidden = nn.Linear(8 * context, 64)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(64, letters)

    def forward(self, x: Any) -> Any:
        return self.out(self.dropout(torch.tanh(self.hidden(self.embedding(x).flatten(1)))))


def characters(data: Any, epochs: int) -> tuple[Any, float]:
    x, t, x_test, t_test = tensors(data)
    model, loss = Characters(len(character_mlp.LETTERS), character_mlp.CONTEXT), nn.CrossEntropyLoss()
    stop = EarlyStopping(model, loss, x_test, t_test)
    fit(model, loss, torch.optim.AdamW(model.parameters(), lr=3e-3), x, t, epochs, 32, stop)
    stop.restore()
    return model, float(loss(predict(model, x_test), t_test))


class Noise(Module):
    def forward(self, x: Any) -> Any:
        return x + 0.1 * torch.randn_like(x) if self.training else x


def autoencoder(data: Any, epochs: int) -> tuple[Any, float]:
    x, x_test = tensors(data)
    model = nn.Sequential(
        Noise(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8), nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64),
        nn.Sigmoid())
    fit(model, nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=2e-3), x, x, epochs, 32)
    return model, float(nn.functional.mse_loss(predict(model, x_test), x_test))


class WideAndDeep(Module):
    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.pair = nn.Embedding(users * items, 1)
        nn.init.zeros_(self.pair.weight)
        self.user, self.item = nn.Embedding(users, 6), nn.Embedding(items, 6)
        self.deep = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Any) -> Any:
        user, item, pair = x.unbind(dim=1)
        return self.pair(pair) + self.deep(torch.cat([self.user(user), self.item(item)], dim=1))


def wide_and_deep_model(data: Any, epochs: int) -> float:
    x, t, x_test, t_test = tensors(data)
    model = WideAndDeep(wide_and_deep.USERS, wide_and_deep.ITEMS)
    wide = list(model.pair.parameters())
    deep = [*model.user.parameters(), *model.item.parameters(), *model.deep.parameters()]
    optimizer = torch.optim.Adam([{"params": wide, "lr": 3e-2}, {"params": deep}], lr=3e-3)
    fit(model, nn.BCEWithLogitsLoss(), optimizer, x, t, epochs, 64)
    return float(((predict(model, x_test) > 0) == (t_test > 0.5)).float().mean())


def small_gan(rng: Any, steps: int) -> Any:
    generator = nn.Sequential(
        nn.Linear(gan.LATENT, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(), nn.Linear(64, 64), nn.LeakyReLU(), nn.Linear(64, 1))
    loss = nn.BCEWithLogitsLoss()
    to_generate = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
    to_discriminate = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.9))
    real, fake = torch.ones(gan.BATCH, 1), torch.zeros(gan.BATCH, 1)
    for step in range(steps):
        made = generator(torch.from_numpy(noise(rng, gan.BATCH))).detach()
        points = torch.cat([torch.from_numpy(circle(rng, gan.BATCH)), made])
        to_discriminate.zero_grad()
        d_loss = loss(discriminator(points), torch.cat([real, fake]))
        d_loss.backward()
        to_discriminate.step()

        to_generate.zero_grad()
        g_loss = loss(discriminator(generator(torch.from_numpy(noise(rng, gan.BATCH)))), real)
        g_loss.backward()
        to_generate.step()
        if (step + 1) % max(1, steps // 5) == 0:
            print(f"step {step + 1:5}: loss of the discriminator {d_loss:.3f}, of the generator {g_loss:.3f}")
    with torch.no_grad():
        return generator(torch.from_numpy(noise(rng, 2000))).numpy()


def diabetes(data: Any, epochs: int) -> tuple[float, int]:
    x, t, x_test, t_test = tensors(data)
    n = len(x) - len(x) // 5
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    loss = nn.MSELoss()
    stop = EarlyStopping(model, loss, x[n:], t[n:])
    fit(model, loss, torch.optim.Adam(model.parameters()), x[:n], t[:n], epochs, 16, stop)
    stop.restore()
    rest = ((predict(model, x_test) - t_test) ** 2).sum()
    return 1 - float(rest / ((t_test - t_test.mean()) ** 2).sum()), epochs
