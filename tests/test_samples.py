"""The samples that ONNX and PyTorch test themselves with: what of them fastnn can say agrees, the rest is an error.

Each test goes through all samples of a kind. One that cannot be said (a ValueError or TypeError of the converter, the
layer or the loss) is counted by its reason; one that can be said must agree. Run with ``-s`` to see the counts.
"""

import re
from collections import Counter

import numpy as np
import pytest

from fastnn.torch import from_torch
from tests import witness

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PACKAGES = ("fastnn_ref", "fastnn")
MOST_REASONS = 40                       # that a report prints


class Tally:
    """How many samples agree, which are wrong, and why others cannot be said."""

    def __init__(self):
        self.agree, self.wrong, self.unsaid = Counter(), [], Counter()

    def judge(self, kind, name, compare):
        """Runs ``compare``, which returns pairs (got, want), and keeps what came of it."""
        try:
            pairs = compare()
        except (ValueError, TypeError, NotImplementedError) as error:
            self.unsaid[kind, reason(error)] += 1
            return
        bad = [(got, want) for got, want in pairs if not near(got, want)]
        if bad:
            self.wrong.append(f"{kind} {name}: {bad[0]}")
        else:
            self.agree[kind] += 1

    def report(self, title, at_least):
        total = sum(self.agree.values())
        print(f"\n{title}: {total + self.unsaid.total() + len(self.wrong)} samples, {total} can be said and agree, "
              f"{len(self.wrong)} wrong")
        print("  agree:", ", ".join(f"{kind} {count}" for kind, count in sorted(self.agree.items())))
        for (kind, why), count in self.unsaid.most_common(MOST_REASONS):
            print(f"  {count:5}  {kind}: {why}")
        print(f"  {sum(sorted(self.unsaid.values())[:-MOST_REASONS]):5}  for other reasons")
        assert not self.wrong, "\n".join(self.wrong[:20])
        assert total >= at_least


def reason(error):
    """A message without what differs from sample to sample."""
    text = re.sub(r"^(/\S+|node '\S+'|0)[: ]+", "", re.sub(r"^/\S+: ", "", str(error)))
    return re.sub(r"\d+", "n", text.partition(", got")[0])[:90] or type(error).__name__


def near(got, want):
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
    return bool(np.allclose(got, want, rtol=0, atol=(1e-5 if want.dtype == np.float32 else 1e-10) * scale,
                            equal_nan=True))


# ---- ONNX: its node tests ----

FOUR_DIGITS = "test_averagepool_2d_ceil_last_window_starts_on_pad",     # written down with no more


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="onnx is missing: its node tests do NOT run")


@pytest.fixture(scope="module")
def nodes(onnx):
    """The node tests, which take some seconds to make."""
    return pytest.importorskip("onnx.backend.test.case.node",
                               reason="onnx's node tests are missing").collect_testcases(None)


def test_nodes_of_onnx(onnx, nodes, tmp_path):
    """One input is x; the other ones stand in the file as constants, as weights do."""
    from fastnn.onnx import load

    tally = Tally()
    for case in nodes:
        inputs, outputs = case.data_sets[0]
        operator = case.model.graph.node[0].op_type

        def compare(case=case, inputs=inputs, outputs=outputs, operator=operator):
            if not all(isinstance(each, np.ndarray) for each in (*inputs, *outputs)):
                raise ValueError("inputs or outputs that are no arrays")
            place = 1 if operator == "Gather" else 0
            if len(inputs) <= place or len(inputs) != len(case.model.graph.input):
                raise ValueError("no input, or an input that is left out")
            model = onnx.ModelProto.FromString(case.model.SerializeToString())
            names = [each.name for each in model.graph.input]
            for index, value in enumerate(inputs):
                if index != place:
                    model.graph.initializer.append(onnx.numpy_helper.from_array(value, names[index]))
            kept = model.graph.input[place]
            del model.graph.input[:]
            model.graph.input.append(kept)
            onnx.save(model, path := tmp_path / "node.onnx")
            got, want = load(path)(inputs[place]), outputs[0]
            return [] if case.name in FOUR_DIGITS and np.abs(got - want).max() < 1e-4 else [(got, want)]

        tally.judge(operator, case.name, compare)
    tally.report(f"node tests of ONNX {onnx.__version__}", 135)


LOSSES_OF_ONNX = {"SoftmaxCrossEntropyLoss": "CrossEntropyLoss", "NegativeLogLikelihoodLoss": "NLLLoss"}


def test_losses_of_onnx(onnx, nodes):
    """Its two operators that are losses; no model has them, so they are held against our losses by hand."""
    tally, packages = Tally(), packages_of()
    for case in nodes:
        node = case.model.graph.node[0]
        if len(case.model.graph.node) > 1 or node.op_type not in LOSSES_OF_ONNX:
            continue                                         # those of several nodes are the same, written out
        (y, t, *weights), (want, *_) = case.data_sets[0]
        options = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        ours = {"reduction": options.get("reduction", b"mean").decode(), "ignore_index": options.get("ignore_index"),
                "class_weight": weights[0] if weights else None}

        def compare(kind=LOSSES_OF_ONNX[node.op_type], ours=ours, y=y, t=t, want=want):
            return [(getattr(nn, kind)(**ours)(y, t), want) for nn in packages]

        tally.judge(node.op_type, case.name, compare)
    tally.report(f"losses of ONNX {onnx.__version__}", 52)


# ---- PyTorch: samples of modules and of functions ----


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is missing: its samples do NOT run")
    pytest.importorskip("torch.testing._internal.common_modules", exc_type=ImportError,
                        reason="PyTorch's own tests need expecttest: its samples do NOT run")
    found.set_num_threads(1)
    found.manual_seed(0)
    return found


def passes(torch, packages, module, x):
    """(got, want) of y, dx and all gradients of both packages, in training if the module is, else of a prediction."""
    shape = tuple(x.shape[1:]) or None
    models = [from_torch(torch.nn.Sequential(module), package=nn, input_shape=shape, dtype="float64")
              for nn in packages]
    values = x.detach().numpy().copy()
    training = module.training and values.dtype.kind == "f"
    got = [model.forward(values, training=training) for model in models]
    x = x.detach().clone().requires_grad_(training)
    y = module(x)
    found = [(each, y.detach().numpy()) for each in got]
    if training and y.requires_grad:
        dy = np.random.default_rng(0).normal(size=y.shape)
        y.backward(torch.tensor(dy))
        for model in models:
            found.append((model.backward(dy), x.grad.numpy()))
            own = dict(module.named_parameters())
            for name, gradient in model.grads.items():
                value = own[name.partition(".")[2]]
                turned = type(module).__name__ == "Linear" and value.ndim == 2
                found.append((gradient, value.grad.numpy().T if turned else value.grad.numpy()))
    return found


LOSS_OPTIONS = {                        # PyTorch's option → ours; what is not here must be PyTorch's default
    "CrossEntropyLoss": {"weight": "class_weight", "label_smoothing": "label_smoothing", "reduction": "reduction",
                         "ignore_index": "ignore_index"},
    "NLLLoss": {"weight": "class_weight", "reduction": "reduction", "ignore_index": "ignore_index"},
    "BCEWithLogitsLoss": {"pos_weight": "pos_weight", "reduction": "reduction"},
    "HuberLoss": {"delta": "delta", "reduction": "reduction"},
    "PoissonNLLLoss": {"log_input": "log_input", "eps": "eps", "reduction": "reduction"},
    "MSELoss": {"reduction": "reduction"},
    "L1Loss": {"reduction": "reduction"},
}
LOSS_DEFAULTS = {"full": False, "weight": None, "size_average": None, "reduce": None, "pos_weight": None}


def losses(torch, packages, kind, options, y, t):
    """(got, want) of the value, and of dy for a gradient of the value."""
    known, ours = LOSS_OPTIONS[kind], {}
    if kind in ("CrossEntropyLoss", "NLLLoss") and not t.is_floating_point():
        ours["ignore_index"] = -100                         # PyTorch's default
        if bool((t == options.get("ignore_index", -100)).all()):
            raise ValueError("all targets are left out: 0 here, NaN there")
    for option, value in options.items():
        if option in known:
            if value is not None:
                ours[known[option]] = value.numpy() if hasattr(value, "numpy") else value
        elif option not in LOSS_DEFAULTS or value != LOSS_DEFAULTS[option]:
            raise ValueError(f"{kind}.{option}: expected {LOSS_DEFAULTS.get(option)}")
    made = [getattr(nn, kind)(**ours) for nn in packages]
    values = y.detach().numpy().copy()
    got = [loss(values, t.detach().numpy()) for loss in made]
    g = np.random.default_rng(0).normal(size=np.shape(got[0]))
    y = y.detach().clone().requires_grad_()
    want = getattr(torch.nn, kind)(**options)(y, t)
    want.backward(torch.tensor(g))
    return [pair for value, loss in zip(got, made, strict=True)
            for pair in ((value, want.detach().numpy()), (loss.backward(g), y.grad.numpy()))]


def packages_of():
    import importlib

    return [importlib.import_module(name) for name in PACKAGES]


def test_modules_of_pytorch(torch):
    from torch.testing._internal.common_modules import module_db

    tally, packages = Tally(), packages_of()
    for info in module_db:
        kind = info.module_cls.__name__
        if kind not in vars(torch.nn) or kind not in (*LOSS_OPTIONS, *packages[0].__all__, "InstanceNorm1d",
                                                      "InstanceNorm2d"):
            continue                                    # nothing of fastnn's is of that name
        for training in (True, False):
            samples = info.module_inputs_func(
                info, device="cpu", dtype=torch.float64, requires_grad=False, training=training)
            for number, sample in enumerate(samples):
                made, given = sample.constructor_input, sample.forward_input

                def compare(info=info, made=made, given=given, kind=kind, training=training):
                    if kind in LOSS_OPTIONS:
                        if made.args or given.kwargs:
                            raise ValueError("options by position")
                        return losses(torch, packages, kind, made.kwargs, *given.args)
                    module = info.module_cls(*made.args, **made.kwargs).double().train(training)
                    if getattr(module, "p", 0) and training:
                        raise ValueError("masks of its own")
                    if given is None or len(given.args) != 1:
                        raise ValueError("another number of inputs than one")
                    return passes(torch, packages, module, given.args[0])

                tally.judge(kind, f"{number} {made.args} {made.kwargs}", compare)
    tally.report(f"module samples of PyTorch {torch.__version__}", 445)


# Function → module, and the module's options that the function's arguments behind x are.
POOL = "kernel_size stride padding"
VALUES = "running_mean", "running_var", "weight", "bias"
FUNCTIONS = {
    "nn.functional.relu": ("ReLU", ""),
    "nn.functional.relu6": ("ReLU6", ""),
    "nn.functional.leaky_relu": ("LeakyReLU", "negative_slope"),
    "nn.functional.elu": ("ELU", "alpha"),
    "nn.functional.celu": ("CELU", "alpha"),
    "nn.functional.selu": ("SELU", ""),
    "nn.functional.silu": ("SiLU", ""),
    "nn.functional.mish": ("Mish", ""),
    "nn.functional.hardswish": ("Hardswish", ""),
    "nn.functional.gelu": ("GELU", ""),
    "nn.functional.softplus": ("Softplus", "beta threshold"),
    "tanh": ("Tanh", ""),
    "sigmoid": ("Sigmoid", ""),
    "nn.functional.logsigmoid": ("LogSigmoid", ""),
    "nn.functional.softsign": ("Softsign", ""),
    "nn.functional.softshrink": ("Softshrink", "lambd"),
    "nn.functional.hardshrink": ("Hardshrink", "lambd"),
    "softmax": ("Softmax", "dim"),
    "log_softmax": ("LogSoftmax", "dim"),
    "nn.functional.prelu": ("PReLU", "weight"),
    "nn.functional.max_pool2d": ("MaxPool2d", f"{POOL} dilation ceil_mode return_indices"),
    "nn.functional.avg_pool2d": ("AvgPool2d", f"{POOL} ceil_mode count_include_pad divisor_override"),
    "nn.functional.adaptive_max_pool2d": ("AdaptiveMaxPool2d", "output_size return_indices"),
    "nn.functional.adaptive_avg_pool2d": ("AdaptiveAvgPool2d", "output_size"),
    "nn.functional.interpolate.nearest": ("Upsample", "size scale_factor mode align_corners"),
    "nn.functional.interpolate.bilinear": ("Upsample", "size scale_factor mode align_corners"),
    "nn.functional.upsample_nearest": ("UpsamplingNearest2d", "size scale_factor"),
    "nn.functional.upsample_bilinear": ("UpsamplingBilinear2d", "size scale_factor"),
    "nn.functional.linear": ("Linear", "weight bias"),
    "nn.functional.conv2d": ("Conv2d", "weight bias stride padding dilation groups"),
    "nn.functional.conv_transpose2d": ("ConvTranspose2d", "weight bias stride padding output_padding groups dilation"),
    "nn.functional.layer_norm": ("LayerNorm", "normalized_shape weight bias eps"),
    "nn.functional.group_norm": ("GroupNorm", "num_groups weight bias eps"),
    "nn.functional.instance_norm": ("InstanceNorm", f"{' '.join(VALUES)} use_input_stats momentum eps"),
    "flatten": ("Flatten", "start_dim end_dim"),
    "unflatten": ("Unflatten", "dim unflattened_size"),
    "nn.functional.rms_norm": ("RMSNorm", "normalized_shape weight eps"),
    "nn.functional.batch_norm": ("BatchNorm", f"{' '.join(VALUES)} training momentum eps"),
    "nn.functional.embedding": ("Embedding", "x"),                     # there, the table stands first
    "nn.functional.mse_loss": ("MSELoss", "t"),
    "nn.functional.l1_loss": ("L1Loss", "t"),
    "nn.functional.huber_loss": ("HuberLoss", "t"),
    "nn.functional.poisson_nll_loss": ("PoissonNLLLoss", "t"),
    "nn.functional.cross_entropy": ("CrossEntropyLoss", "t"),
    "nn.functional.nll_loss": ("NLLLoss", "t"),
    "nn.functional.binary_cross_entropy_with_logits": ("BCEWithLogitsLoss", "t weight"),
}

def module_of(torch, kind, x, options):
    """The module that computes the function with these options, its values among them."""
    values = {name: options.pop(name) for name in VALUES if name in options}
    weight, named = values.get("weight"), dict(options)
    training = named.pop("training", kind != "BatchNorm")
    if kind == "ConvTranspose2d":
        named |= {"in_channels": len(weight), "out_channels": weight.shape[1] * options.get("groups", 1),
                  "kernel_size": tuple(weight.shape[2:]), "bias": values.get("bias") is not None}
    elif kind in ("Linear", "Conv2d"):
        if weight.ndim < 2:
            raise ValueError("a weight of one axis")
        inside = weight.shape[1] * options.get("groups", 1)
        named |= {"in_features": inside, "out_features": len(weight)} if kind == "Linear" else {
            "in_channels": inside, "out_channels": len(weight), "kernel_size": tuple(weight.shape[2:])}
        named["bias"] = values.get("bias") is not None
    elif kind == "BatchNorm":
        if values.get("running_mean") is None or x.ndim < 2:
            raise ValueError("no running statistics, or no channels")
        kind, named["num_features"] = "BatchNorm2d" if x.ndim == 4 else "BatchNorm1d", x.shape[1]
    elif kind == "GroupNorm":
        named["num_channels"] = x.shape[1]
    elif kind == "InstanceNorm":
        kind, named["num_features"] = "InstanceNorm2d" if x.ndim == 4 else "InstanceNorm1d", x.shape[1]
        named["track_running_stats"] = not named.pop("use_input_stats", True)
        values = {name: value for name, value in values.items() if not name.startswith("running")}
    elif kind == "Flatten":
        named = {"start_dim": 0, **named}               # the function's own default
    elif kind == "PReLU":
        named["num_parameters"] = weight.numel()
    elif kind == "Embedding":
        named["num_embeddings"], named["embedding_dim"] = weight.shape
        if named.get("padding_idx") is not None:
            raise ValueError("Embedding.padding_idx: expected None")
    if "Norm" in kind:
        if weight is None and values.get("bias") is not None:
            raise ValueError("a shift without a scale")
        named["elementwise_affine" if kind in ("LayerNorm", "RMSNorm") else "affine"] = weight is not None
        if weight is not None and kind != "RMSNorm":
            named["bias"] = values.get("bias") is not None
    module = getattr(torch.nn, kind)(**named).double()
    module.load_state_dict({name: value.detach().reshape(getattr(module, name).shape)
                            for name, value in values.items() if value is not None}, strict=False)
    return module.train(training)


def test_functions_of_pytorch(torch):
    """Activations, layers and losses as functions, and the module that is the same function."""
    found = pytest.importorskip("torch.testing._internal.common_methods_invocations", exc_type=ImportError)
    tally, packages = Tally(), packages_of()
    for info in found.op_db:
        name = f"{info.name}{'.' + info.variant_test_name if info.variant_test_name else ''}"
        if name not in FUNCTIONS:
            continue
        kind, order = FUNCTIONS[name]
        for number, sample in enumerate(info.sample_inputs("cpu", torch.float64, requires_grad=False)):
            def compare(info=info, kind=kind, order=order, sample=sample):
                options = {**dict(zip(order.split(), sample.args, strict=False)), **sample.kwargs}
                x = sample.input
                if kind in LOSS_OPTIONS:
                    return losses(torch, packages, kind, {k: v for k, v in options.items() if k != "t"}, x,
                                  options["t"])
                if options.pop("dtype", None) is not None:
                    raise ValueError("a dtype for the output")
                if "x" in options:
                    x, options["weight"] = options.pop("x"), x
                if len(x.shape) == 0:
                    raise ValueError("x: no axis for a batch")
                module = module_of(torch, kind, x, options)
                want = info.op(sample.input, *sample.args, **sample.kwargs)
                return [*passes(torch, packages, module, x), (module(x).detach(), want.detach())]

            tally.judge(kind, f"{name} {number} {tuple(getattr(sample.input, 'shape', ()))} {sample.kwargs}", compare)
    tally.report(f"function samples of PyTorch {torch.__version__}", 840)


def test_optimizers_of_pytorch(torch):
    """Ten steps with all options that a sample gives; weights alone, as weight decay is for them."""
    from torch.testing._internal.common_optimizers import optim_db

    same = ("foreach", "fused", "differentiable", "capturable")         # how it is computed, not what
    tally, packages = Tally(), packages_of()
    for info in optim_db:
        kind = info.optim_cls.__name__
        if kind not in packages[0].__all__:
            continue
        for sample in info.optim_inputs_func(device="cpu"):
            options = {key: value for key, value in sample.kwargs.items() if key not in same}
            options["lr"] = float(options.get("lr", 0.01))

            def compare(info=info, kind=kind, options=options):
                result = []
                for nn in packages:
                    optimizer = getattr(nn, kind)(**options)
                    model = nn.Sequential(nn.Linear(5, 7, bias=False), nn.Tanh(), nn.Linear(7, 3, bias=False), seed=1,
                                          dtype="float64")
                    w, v = (torch.tensor(np.array(layer.weight)).requires_grad_() for layer in (model[0], model[2]))
                    other = witness.in_float64(torch, info.optim_cls([w, v], **options))
                    for seed in range(10):
                        x, t = (np.random.default_rng([seed, size]).normal(size=(9, size)) for size in (5, 3))
                        other.zero_grad()
                        want = ((torch.tensor(x) @ w).tanh() @ v - torch.tensor(t)).square().mean()
                        want.backward()
                        other.step()
                        result.append((model.step(x, t, nn.MSELoss(), optimizer), want.item()))
                    result += [(model[0].weight, w.detach().numpy()), (model[2].weight, v.detach().numpy())]
                return result

            tally.judge(kind, sample.desc, compare)
    tally.report(f"optimizer samples of PyTorch {torch.__version__}", 47)
