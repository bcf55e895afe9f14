"""Programs that found something once, as short as could be found: (what was wrong, the program)."""

CORPUS: list[tuple[str, list[str]]] = [
    ("copy.copy gave a second model with the same layers", [
        "model = nn.Sequential(nn.ReLU(), seed=0, dtype='float64')", "model = copy.copy(model)", "repr(model)"]),
    ("copy.copy of an optimizer shared its slots", [
        "x = data(0, 4, 3)", "t = data(1, 4, 2)", "model = nn.Sequential(nn.Linear(3, 2), dtype='float64')",
        "loss = nn.MSELoss()", "optimizer = nn.SGD(momentum=0.9)", "model.step(x, t, loss, optimizer)",
        "other = copy.copy(optimizer)", "model.step(x, t, loss, optimizer)", "other.state_dict()"]),
    ("a copy of a part forgot the seed", [
        "model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1), seed=6, dtype='float64')",
        "repr(pickle.loads(pickle.dumps(model[1:])))"]),
    ("a copy of a part without parameters forgot the dtype in the reference", [
        "model = nn.Sequential(nn.ReLU(), nn.CELU(alpha=0.5), nn.Flatten(), dtype='float32')",
        "repr(pickle.loads(pickle.dumps(model[0:2])))"]),
    ("channels beyond what C can count", ["model = nn.Sequential(nn.Select(start=7, stop=2**64), nn.ReLU())"]),
    ("a step counted as the loss's last forward in the reference", [
        "x = data(0, 3, 1)", "t = data(7, 3, 2)", "model = nn.Sequential(nn.Linear(1, 2), dtype='float64')",
        "loss = nn.MSELoss()", "model.step(x, t, loss, nn.SGD())", "loss.backward()"]),
    ("a copy of a loss kept a half-done pass in the reference", [
        "loss = nn.HuberLoss()", "loss.forward(data(0, 2, 2), data(1, 2, 2))",
        "loss = pickle.loads(pickle.dumps(loss))", "loss.backward()"]),
    ("the reference accepted what a layer before the first Linear refuses", [
        "x = data(0, 7, 1)", "model = nn.Sequential(nn.Augment(shift=0.1), nn.Linear(1, 2), dtype='float64')",
        "model.predict(x)", "model[:2].predict(x)"]),
    ("the engine asked the schedule before it looked at the targets", [
        "x = data(0, 16, 1, 4, 4)", "t = data(9, 16, 1, 2, 4)",
        "model = nn.Sequential(nn.AvgPool2d((2, 1)), dtype='float64')", "loss = nn.CrossEntropyLoss()",
        "optimizer = nn.Adam(lr=schedule('raises'))", "model.step(x, t, loss, optimizer)"]),
    ("two losses in place of one", [
        "x = data(0, 2, 3)", "t = data(8, 2, 8)", "model = nn.Sequential(nn.Linear(3, 8), dtype='float64')",
        "model.step(x, t, own_loss('two values'), nn.SGD())"]),
    ("a user's output_shape that is a number", [
        "model = nn.Sequential(nn.Linear(17, 17), own_layer('shape', 17))", "model.output_shape((17,))"]),
    ("a schedule that raised left slots in the reference", [
        "x = data(0, 2, 5)", "t = labels(3, 2, 5)", "model = nn.Sequential(nn.Linear(5, 5), dtype='float64')",
        "optimizer = nn.Adagrad(lr=schedule('raises'))", "model.step(x, t, nn.CrossEntropyLoss(), optimizer)",
        "optimizer.state_dict()"]),
    ("room for slots before or after a callback", [
        "x = data(0, 16, 1)", "t = data(7, 16, 1)", "model = nn.Sequential(nn.Linear(1, 1), dtype='float64')",
        "loss = nn.MSELoss()", "optimizer = nn.AdamW()", "act = on('on_train_batch_begin', 'raise KeyError')",
        "model.fit(x, t, loss=loss, optimizer=optimizer, batch_size=2, callbacks=[act])", "optimizer.state_dict()"]),
    ("a state loaded by a callback, in the reference", [
        "x = data(0, 16, 3)", "t = data(2, 16, 2)", "model = nn.Sequential(nn.Linear(3, 2), dtype='float64')",
        "loss = nn.HuberLoss()", "optimizer = nn.SGD()",
        "act = on('on_train_batch_end', 'optimizer.load_state_dict(optimizer.state_dict())')",
        "model.fit(x, t, loss=loss, optimizer=optimizer, batch_size=2, callbacks=[act]).history"]),
]
