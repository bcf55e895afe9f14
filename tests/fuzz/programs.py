"""The generator of programs: mostly what a user would write, with a mistake here and there.

Layers, losses, optimizers and their arguments come from the public API and its signatures, so a new one takes part by
itself. ``write(seed)`` gives the same program for a seed and a state of the library.
"""

import inspect
import math
import random
from collections.abc import Callable

import fastnn_ref
from tests.fuzz import tools

Shape = tuple[int, ...]

# Values of an argument by its name, or by its class and name: right ones. What is not listed keeps its default.
FLAG = ["False", "True"]
RIGHT: dict[str, list[str]] = {
    **dict.fromkeys(["affine", "align_corners", "amsgrad", "ceil_mode", "centered", "count_include_pad",
                     "decoupled_weight_decay", "elementwise_affine", "maximize"], FLAG),
    "algorithm": ["'direct'", "'winograd'"], "dampening": ["0.0", "0.5"], "divisor_override": ["None", "3"],
    "initial_accumulator_value": ["0.0", "0.1"], "lambd": ["0.5", "0.0"], "lr_decay": ["0.0", "0.1"],
    "merge": ["'concat'", "'add'"], "momentum_decay": ["0.004", "1.0"], "output_padding": ["0", "1", "(1, 0)"],
    "output_size": ["1", "2", "(3, None)"], "pos_weight": ["None", "2.0"], "rho": ["0.9", "0.0"],
    "samples": ["1", "7"], "StochasticDepth.mode": ["'batch'", "'row'"],
    "BCEWithLogitsLoss.class_weight": ["None", "(0.5, 2.0)"],
    "activation": ["None", "'relu'", "'gelu'", "'tanh'", "'softmax'", "'mish'", "nn.ELU(0.5)", "nn.LeakyReLU()"],
    "alpha": ["0.5", "1.0", "0.9"], "approximate": ["'none'", "'tanh'"], "betas": ["(0.9, 0.999)", "(0, 0)"],
    "bias": ["True", "False"], "biases": ["True", "False"],
    "class_weight": ["None", "None", "{0: 2.0}", "[1.0, 2.0, 0.5]"],
    "clip_norm": ["None", "0.1"], "clip_value": ["None", "0.01"], "delta": ["1.0", "0.2"],
    "dilation": ["1", "1", "2", "(1, 2)"], "eps": ["1e-5", "1e-3"], "groups": ["1", "1", "2", "3"],
    "inference": ["'mean'", "'gaussian'"],
    "init": ["None", "'zeros'", "'he_normal'", "'orthogonal'", "0.1", "nn.Init('he_normal', 0.5)"],
    "fill": ["0", "-0.5"], "whole_shift": ["False", "True"],
    "kernel_size": ["1", "2", "3", "(2, 1)", "(1, 3)"], "l1": ["1e-3"], "l2": ["1e-3"],
    "label_smoothing": ["0.0", "0.1"], "limit": ["1.0"], "log_input": ["True", "False"], "lr": ["0.01", "0.1", "0.0"],
    "mask": ["'example'", "'batch'"], "mode": ["'proximal'", "'subgradient'"],
    "momentum": ["0.0", "0.9", "0.1"], "negative_slope": ["0.01", "0.3"], "nesterov": ["False", "True"],
    "dim": ["-1", "-1", "1", "2", "-2"], "ignore_index": ["None", "None", "0", "-100"],
    "reduction": ["'mean'"] * 4 + ["'sum'"] * 2 + ["'none'"],
    "out_channels": ["1", "2", "3", "6"], "p": ["0.0", "0.3", "0.5", "0.9", "1.0"], "padding": ["0", "1", "(1, 0)"],
    "rotation": ["0", "10"], "shift": ["0", "0.1", "(0.1, 0.0)"], "flip": ["0", "0.5"], "noise": ["0", "0.1"],
    "brightness": ["0", "0.2"], "contrast": ["0", "0.2"], "erase": ["0", "0.3"], "zoom": ["0", "0.1"],
    "shear": ["0", "5"], "std": ["0.0", "0.1"], "stride": ["1", "2", "(1, 2)"], "strength": ["0.0", "1e-3"],
    "weight_decay": ["0.0", "0.01"],
}
WRONG = ["0", "-1", "1", "2", "7", "0.5", "-0.0", "1e308", "-1e-300", "nan", "inf", "-inf", "None", "True", "'relu'",
         "''", "b'x'", "[]", "()", "(1, 2)", "(3,)", "{}", "{'a': 1}", "2**31", "2**63", "-2**63", "2**64", "10**30",
         "np.float32(1)", "np.array(3)", "np.array([1.0, 2.0])", "np.int8(5)", "np.bool_(True)", "1j", "object()",
         "int", "lambda *a: 0", "range(3)", "'é' * 9", "nn", "nn.ReLU", "nn.ReLU()", "nn.SGD()", "nn.MSELoss()",
         "memoryview(b'abc')"]
UPSAMPLE_MODES = ["mode='nearest'", "mode='bilinear'", "mode='bilinear', align_corners=True"]
FIT = ["shards=2", "shards=4", "gradient_accumulation_steps=2", "gradient_accumulation_steps=3", "shuffle=False",
       "shuffle='blocks'", "drop_last=True", "sample_weight=w", "validation_data=(x, t, w)",
       "validation_split=0.5, validation_rows='random'", "metrics=['accuracy', 'mse']", "mixup=0.5"]
SCHEDULES = ["nn.StepLR(0.1, 2)", "nn.ExponentialLR(0.1, 0.5)", "nn.LinearLR(0.1)", "nn.CosineLR(0.1, warmup_steps=1)",
             "nn.OneCycleLR(0.1)", "nn.CosineLR(0.1, 9)", "nn.PerEpoch(nn.StepLR(0.1, 1))"]
EVENTS = ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_progress",
          "on_epoch_end", "on_train_end"]
ACTIONS = [
    "model.predict(x)", "model(x)", "model.forward(x, training=True)", "model.step(x, t, loss, optimizer)",
    "model.fit(x, t, loss=loss, optimizer=optimizer)", "model.evaluate(x, t, loss)", "nn.Sequential(model)",
    "nn.Sequential(model).predict(x)", "nn.Residual(model)", "model.load_state_dict(model.state_dict())",
    "kept = copy.deepcopy(model)", "kept = pickle.loads(pickle.dumps(model))", "model.state_dict()", "model.steps = 0",
    "optimizer.load_state_dict(optimizer.state_dict())", "optimizer.lr = 0.001", "optimizer.state_dict()",
    "raise KeyError('the user')", "raise nn.StopTraining", "x[:] = 0", "t[:1] = 0",
    "globals().pop('model', None)", "gc.collect()",
    "model.stop_training = True", "model.backward(model(x))", "nn.training_state(model, optimizer)", "model[0:1](x)",
    "nn.gradcheck(model, x, t, loss)", "optimizer.step(model)", "model.params", "model.summary()",
    "model.outputs(x)", "nn.copy_parameters(model, model)", "nn.copy_parameters(copy.deepcopy(model), model)",
    "nn.clip_grad_norm(model, 1.0)", "nn.from_config(model.config())", "loss.__init__()", "loss.forward(model(x), t)",
    "in_thread('model.predict(x)')", "in_thread('model.step(x, t, loss, optimizer)')",
    "in_thread('nn.Sequential(model)')", "in_thread('model.state_dict()')",
]
ARRAYS = [
    "{}", "{}", "{}", "{}", "{}", "{}.astype('f4')", "{}.astype('f2')", "{}.astype('>f8')", "{}.astype('>f4')",
    "{}.astype(int)", "{}.astype(bool)", "{}.astype(complex)", "{}.astype(object)", "{}.astype(str)", "{}.astype('g')",
    "np.asfortranarray({})", "unaligned({})", "read_only({})", "{}.tolist()", "{}[::-1]", "{}[:0]", "{}[:1]",
    "np.repeat({}, 2, axis=0)[::2]", "{}.view(Strange)", "np.ma.masked_greater({}, 1)", "spoiled({}, nan)",
    "spoiled({}, inf)", "spoiled({}, 5e-324)", "spoiled({}, -0.0)", "spoiled({}, 1e308)", "{} * 0", "{}[None]", "{}.T",
    "{}.ravel()", "memoryview({})", "np.broadcast_to({}[:1], (5, *{}.shape[1:]))", "{}.astype(np.uint8)",
]


def kinds(base: type) -> list[str]:
    """The names of the public classes of that kind, without the abstract ones."""
    found = {name: getattr(fastnn_ref, name) for name in fastnn_ref.__all__}
    return [name for name, cls in found.items() if isinstance(cls, type) and issubclass(cls, base)
            and cls not in (base, fastnn_ref.Activation)]


class Writer:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.wrong = 0.1 if seed % 4 == 0 else 0.01     # how often an argument is a mistake
        self.lines: list[str] = []

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def pick(self, options: list[str]) -> str:
        return self.random.choice(options)

    def argument(self, right: str) -> str:
        """The right value, mostly."""
        return self.pick(WRONG) if self.chance(self.wrong) else right

    def arguments(self, cls: str, first: list[str], p: float = 0.4) -> str:
        """Those that must be given, and some of the others."""
        found = [self.argument(each) for each in first]
        for name, parameter in list(inspect.signature(getattr(fastnn_ref, cls)).parameters.items())[len(first):]:
            if parameter.kind is parameter.VAR_POSITIONAL or name == "image_shape":
                continue
            right = RIGHT.get(f"{cls}.{name}", RIGHT.get(name, []))
            if parameter.default is parameter.empty or (right and self.chance(p)) or self.chance(0.005):
                found.append(f"{name}={self.argument(self.pick(right or WRONG))}")
        return f"nn.{cls}({', '.join(found)})"

    def array(self, right: str) -> str:
        return self.pick(ARRAYS).replace("{}", right) if self.chance(0.12) else right

    # ---- models ----

    def block(self, shape: Shape, depth: int) -> str:
        """Layers that keep the shape."""
        inside = ["nn.ReLU()", "nn.Dropout(0.3)"]
        if len(shape) == 1:
            width = self.random.randint(1, 9)
            inside = [f"nn.Linear({shape[0]}, {width}, 'relu')", f"nn.Linear({width}, {shape[0]})"]
        elif len(shape) == 3:
            algorithm = self.pick(["'direct'", "'winograd'"])
            inside = [f"nn.Conv2d({shape[0]}, {shape[0]}, 3, padding=1, algorithm={algorithm})",
                      f"nn.BatchNorm2d({shape[0]})"]
        return f"nn.Sequential({', '.join(inside)})" if depth else "nn.Identity()"

    def layer(self, shape: Shape, depth: int) -> str:
        """One layer that probably fits the shape."""
        names = kinds(fastnn_ref.Layer)
        usual = ["Linear"] * 6 + ["Parallel", "Select", "BatchNorm1d"] if len(shape) != 3 else [
            "Conv2d", "Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d", "Upsample", "Flatten", "BatchNorm2d",
            "Parallel", "Select"]
        cls = self.pick(usual) if self.chance(0.5) else self.pick(names)
        width, channels = str(self.random.choice([1, 2, 3, 5, 8, 17])), str(shape[0])
        if cls == "Embedding" and not self.chance(0.05):        # x has none of its rows
            cls = "Linear"
        if cls == "Sequential":
            return self.model(shape, depth - 1)[0] if depth else "nn.Identity()"
        if cls in ("Residual", "StochasticDepth"):
            return self.arguments(cls, [self.block(shape, depth)])
        if cls == "Parallel":
            branches = [self.layer(shape, 0) if self.chance(0.5) else self.block(shape, depth)
                        for _ in range(self.random.randint(1, 3))]
            return f"nn.Parallel({', '.join(branches)}, merge={self.pick(RIGHT['merge'])})"
        if cls == "Upsample":
            size = self.pick(["size=3", "size=(2, 5)", "scale_factor=2", "scale_factor=(1.5, 0.5)"])
            return f"nn.Upsample({size}, {self.pick(UPSAMPLE_MODES)})"
        if self.chance(0.04) and len(shape) == 1:
            return f"own_layer({self.pick(tools.LAYER_FAULTS)!r}, {shape[0]})"
        cut = self.random.randrange(shape[0])
        parameters = list(inspect.signature(getattr(fastnn_ref, cls)).parameters)[:1]
        first = {"in_features": [str(shape[-1]), width], "in_channels": [channels], "num_features": [channels],
                 "normalized_shape": [str(shape[-1]) if self.chance(0.5) else str(shape)],
                 "num_parameters": [channels], "num_embeddings": ["5", width],
                 "num_groups": [self.pick([str(i) for i in range(1, shape[0] + 1) if shape[0] % i == 0]), channels],
                 "start": [str(cut), str(self.random.randint(cut + 1, shape[0]))],
                 "dim": ["1", f"({channels}, -1)"] if cls == "Unflatten" else []}.get((parameters or [""])[0], [])
        return self.arguments(cls, first)

    def model(self, shape: Shape, depth: int = 2, options: str = "") -> tuple[str, Shape]:
        """An expression, and the shape of an output, as far as it is known."""
        found = []
        for _ in range(self.random.choice([0, 1, 2, 2, 3, 4, 6])):
            text = self.layer(shape, depth)
            try:
                made = eval(text, tools.namespace(fastnn_ref))
                after = made.output_shape(shape)
                if not all(0 < size < 2000 for size in after):
                    raise ValueError("a shape that the next layer would not fit")
                shape = after
            except Exception:
                if not self.chance(0.03):
                    continue
            found.append(text)
        return f"nn.Sequential({', '.join([*found, *([options] if options else [])])})", shape

    # ---- statements ----

    def targets(self, n: int, shape: Shape) -> tuple[str, str]:
        """A loss, and targets for it."""
        cls = self.pick(kinds(fastnn_ref.Loss))
        numbers = f"data({self.random.randint(1, 9)}, {', '.join(map(str, (n, *shape)))})"
        if cls in ("CrossEntropyLoss", "NLLLoss"):
            targets = f"labels(3, {math.prod((n, *shape[1:]))}, {shape[0]}).reshape({(n, *shape[1:])})"
            if self.chance(0.2):
                targets = f"np.abs({numbers}) / np.abs({numbers}).sum(axis=1, keepdims=True)"
        elif cls in ("BCEWithLogitsLoss", "HingeLoss", "PoissonNLLLoss"):
            targets = f"({numbers} > 0) * 1.0"
        else:
            targets = numbers
        own = f"own_loss({self.pick(tools.LOSS_FAULTS)!r})"
        return (own if self.chance(0.06) else self.valid(lambda: self.arguments(cls, []))), targets

    def valid(self, write: Callable[[], str]) -> str:
        """What ``write`` writes, again and again until the reference takes it, mostly."""
        while True:
            text = write()
            try:
                eval(text, tools.namespace(fastnn_ref))
            except Exception:                           # whatever the reference says of arguments drawn at random
                if not self.chance(0.1):
                    continue
            return text

    def optimizer(self) -> str:
        if self.chance(0.06):
            return f"own_optimizer({self.pick(tools.OPTIMIZER_FAULTS)!r})"
        made = self.valid(lambda: self.arguments(self.pick(kinds(fastnn_ref.Optimizer)), [], 0.3))
        if self.chance(0.15) and "lr=" not in made:
            faulty = f"schedule({self.pick(tools.SCHEDULES)!r})"
            made = made.replace("(", f"(lr={faulty if self.chance(0.3) else self.pick(SCHEDULES)}, ", 1)
        return made

    def statement(self) -> str:
        """One line that uses the model."""
        on = "".join(f"on({self.pick(EVENTS)!r}, {self.pick(ACTIONS)!r})" for _ in range(self.chance(0.4)))
        if "on_progress" in on and "stop" in on.lower():        # it is called now and then: of a run, not of a step
            on = on.replace("on_progress", "on_train_batch_end")
        penalty = self.arguments(self.pick(["L1", "L2", "ElasticNet", "MaxNorm"]), [])
        size = self.argument(self.pick(["1", "2", "3", "4", "100"]))
        a, b = self.random.randint(-3, 6), self.random.randint(-3, 6)
        dtype = self.argument(self.pick(["'float32'", "'float64'"]))
        options = ", ".join(self.random.sample(FIT, self.random.choice([0, 1, 1, 2, 3])))
        method = self.pick(["predict", "forward", "backward", "load_state_dict"])
        return self.pick([
            "model.predict(x)", f"model.predict(x, {size})", "model(x)", "model.forward(x, training=True)",
            "model.backward(model.forward(x, training=True))", "model.backward(dy)", "model.backward(model(x))",
            "model.backward(dy, input_gradient=False)", "at_once('model.predict(x, 2)')",
            "[at_once('model(x)'), model.predict(x)]",
            f"at_once('model[{a}:{b}].predict(x)')", "at_once('model.predict_proba(x)')",
            "model.predictor()(x)", f"at_once('model[{a}:{b}].predictor()(x)')",
            "model.step(x, t, loss, optimizer)", "model.step(x, t, loss, optimizer)",
            "model.step(x, t, loss, optimizer, w)",
            f"model.run_epoch(x, t, loss, optimizer, {size})",
            f"model.fit(x, t, loss=loss, optimizer=optimizer, epochs=2, batch_size={size}, callbacks=[{on}]).history",
            f"model.fit(x, t, loss=loss, optimizer=optimizer, epochs=1, batch_size=2, callbacks=[{on}]).history",
            "model.fit(x, t, loss=loss, optimizer=optimizer, validation_data=(x, t), metrics=['accuracy']).history",
            "model.fit(x, t, loss=loss, optimizer=optimizer, validation_split=0.5, mixup=0.2).history",
            f"model.fit(x, t, loss=loss, optimizer=optimizer, epochs=2, batch_size={size}, {options}).history",
            f"model.fit(x, t, loss=loss, optimizer=optimizer, epochs=2, batch_size=4, {options}).history",
            "model.fit_lbfgs(x, t, loss=loss, max_iter=2).history",
            "model.fit_lbfgs(x, t, loss=loss, max_iter=2, sample_weight=w, batch_size=2).history",
            "model.evaluate(x, t, loss)", "model.evaluate(x, t, loss, batch_size=2)",
            "model.evaluate(x, t, loss, ['accuracy', 'mse'], sample_weight=w, batch_size=3)",
            "model.outputs(x, batch_size=2)", "model.predict_classes(x)", "model.predict_proba(x)",
            f"model[{a}].trainable = {self.argument('False')}", f"model[{a}].lr_scale = {self.argument('0.5')}",
            "loss.forward(model(x), t)", "loss.forward(model(x), t, w)", "loss.backward()",
            "y = model.forward(x, training=True); loss.forward(y, t); dy = loss.backward(); model.backward(dy)",
            "optimizer.step(model)", "model.grads", "model.params", "model.state_dict()", "optimizer.state_dict()",
            "state = model.state_dict()", "model.load_state_dict(state)", "state.popitem()",
            "state = {k: v * 2 for k, v in state.items()}", "slots = optimizer.state_dict()",
            "optimizer.load_state_dict(slots)", "model = copy.deepcopy(model)", "model = copy.copy(model)",
            "model = pickle.loads(pickle.dumps(model))", "optimizer = copy.deepcopy(optimizer)",
            "loss = pickle.loads(pickle.dumps(loss))", "other = nn.Sequential(model)", "model = nn.Sequential(model)",
            f"model = nn.Sequential(model, nn.Softmax(), dtype={dtype})",
            "model = nn.Residual(model)", "model = nn.StochasticDepth(model, 0.5)", f"model = model[{a}:{b}]",
            f"model[{a}](x)", f"model[{a}:{b}].predict(x)", "del other", "gc.collect()", "len(model)", "repr(model)",
            f"model.steps = {size}", f"model.epochs = {size}", f"model.seed = {size}", f"model.dtype = {size}",
            f"model.{self.pick(['p', 'training', 'layers', 'network', 'penalty'])} = {self.pick(WRONG)}",
            "nn.gradcheck(model, x, t, loss, samples=4)", "bool(model.summary())", "model.config()",
            "model = nn.from_config(model.config())", "nn.from_config(optimizer.config()).config()",
            "training = nn.training_state(model, optimizer)", "nn.load_training_state(training, model, optimizer)",
            f"model = nn.Sequential(*model.layers, penalty={penalty}, dtype='float64')",
            f"model = nn.Sequential({self.pick(WRONG)}, model)", f"nn.clip_grad_norm(model, {size})",
            "nn.clip_grad_value(model, 0.1)", f"x = {self.array('x')}", f"t = {self.array('t')}",
            f"w = {self.array('w')}", f"in_thread({self.pick(ACTIONS)!r})",
            f"model.set_parameter({self.pick(['0.weight', 'weight', '0.bias', 'a'])!r}, {self.array('dy')})",
            "model.__init__()", "loss.__init__()", "optimizer.__init__()",
            f"optimizer = {self.optimizer()}", f"optimizer.lr = {self.argument('0.05')}", "loss.forward(x, x)",
            f"model.predict({self.array('x')})", f"model.step({self.array('x')}, {self.array('t')}, loss, optimizer)",
            f"loss.forward(model(x), {self.array('t')})", f"model({self.pick(WRONG)})",
            f"model.{method}({self.pick(WRONG)})",
            f"optimizer.{self.pick(['step', 'load_state_dict'])}({self.pick(WRONG)})",
            *(f"[layer(x) for layer in model.layers[:{n}]]" for n in (1, 2)),
        ])

    def program(self) -> list[str]:
        """The lines: a model, data, then what a user does with them."""
        n = self.random.choice([1, 2, 3, 4, 7, 16, 33])
        shape: Shape = self.random.choice([(1,), (3,), (5,), (8,), (17,), (2, 3), (1, 4, 4), (3, 5, 6), (2, 8, 8)])
        dtype = "float64" if self.chance(0.75) else "float32"
        options = f"seed={self.random.randint(0, 9)}, dtype={dtype!r}"
        if self.chance(0.3):
            options += f", penalty={self.arguments(self.pick(['L1', 'L2', 'ElasticNet', 'MaxNorm']), [])}"
        rows = self.chance(0.06)                # x has numbers of rows of a table
        if rows:
            inner, out = self.model((2, 3))
            model = f"nn.Sequential(nn.Embedding(7, 3), *{inner}, {options})"
            shape = (2,)
        else:
            model, out = self.model(shape, options=options)
        loss, targets = self.targets(n, out)
        numbers = ", ".join(map(str, (n, *shape)))
        x = f"labels(0, {2 * n}, 7).reshape({n}, 2)" if rows else f"data(0, {numbers})"
        self.lines = [f"x = {self.array(x)}", f"t = {self.array(targets)}",
                      f"w = {self.array(f'np.abs(data(2, {n}))')}",
                      f"dy = data(3, {', '.join(map(str, (n, *out)))})", f"model = {model}", f"loss = {loss}",
                      f"optimizer = {self.optimizer()}"]
        return self.lines + [self.statement() for _ in range(self.random.randint(2, 9))]


def write(seed: int) -> list[str]:
    """The program of a seed."""
    return Writer(seed).program()
