"""The library with one fault put in on purpose, sixty times and more: a test must fail each time.

    python -m tests.mutants                 all of them; exit code 1 if one survives
    python -m tests.mutants --only adam     those with the word in their name
    python -m tests.mutants --list

Works on a copy of the tree in a temporary folder. What must be compiled is built there, quickly: kernels for the
portable instruction set alone, not optimised. First every named test runs on the copy without a fault, where it must
pass. tests/test_mutants.py checks that each mutant still has a place in the source.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
QUICK = {"FASTNN_SETS": "portable", "FASTNN_OPT": "-O0"}
HANGS = 600  # seconds: a mutant may loop for ever


class Mutant(NamedTuple):
    """One fault: in ``path``, ``old`` becomes ``new``; ``test`` (a file, or a test in it) must notice."""

    name: str
    path: str
    old: str
    new: str
    test: str

    def is_compiled(self) -> bool:
        return self.path.startswith("fastnn/") and not self.path.endswith(".py")

    def apply(self, root: Path) -> str:
        """Puts the fault in and returns the file's text before; ValueError if it has no place, or several."""
        file = root / self.path
        text = file.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: expected the old text once in {self.path}, got {text.count(self.old)}")
        file.write_text(text.replace(self.old, self.new), "utf-8")
        return text


def of(path: str, *mutants: tuple[str, str, str, str]) -> list[Mutant]:
    """Mutants of one file: (name, test, old, new), the test without its folder and its ending."""
    found = []
    for name, test, old, new in mutants:
        file, _, function = test.partition("::")
        found.append(Mutant(name, path, old, new, f"tests/{file}.py{'::' if function else ''}{function}"))
    return found


SHARED = [
    *of(
        "fastnn_ref/shared/early_stopping.py",
        ("early stopping: one epoch too patient", "test_early_stopping::test_patience",
         "return self.wait >= max(self.patience, 1)",
         "return self.wait > max(self.patience, 1)"),
        ("early stopping: an improvement does not start the count again", "test_early_stopping::test_patience",
         "self.best, self.best_epoch, self.wait = value, epoch, 0",
         "self.best, self.best_epoch = value, epoch"),
        ("early stopping: GL by the first error", "test_early_stopping::test_generalization_loss",
         "(self.errors[-1] / lowest - 1)",
         "(self.errors[-1] / self.errors[0] - 1)"),
        ("early stopping: PQ by the largest loss", "test_early_stopping::test_progress_quotient",
         "(len(last) * min(last)) - 1)",
         "(len(last) * max(last)) - 1)"),
        ("early stopping: equal errors rise", "test_early_stopping::test_successive_rises",
         "all(a < b for a, b",
         "all(a <= b for a, b"),
        ("early stopping: the best weights stay away", "test_early_stopping::test_the_best_weights_come_back",
         "            self.model.load_state_dict(self.weights)\n",
         ""),
    ),
    *of(
        "fastnn_ref/shared/schedule.py",
        ("stochastic depth: the first block may be left out", "test_stochastic_depth",
         "for block in range(1, depth + 1)]",
         "for block in range(depth)]"),
        ("schedule: a warm-up from 0", "test_schedule::test_formula",
         "warm = self.lr * (s + 1) /",
         "warm = self.lr * s /"),
        ("schedule: a stair one step early", "test_schedule::test_formula",
         "(s // self.step_size)",
         "((s + 1) // self.step_size)"),
        ("schedule: a cosine that goes up again", "test_schedule::test_stays_sane_after_the_end",
         "np.clip(share, 0, 1)",
         "share"),
        ("schedule: one cycle's top a step late", "test_schedule::test_formula",
         "self.pct_start * self.total_steps - 1 ",
         "self.pct_start * self.total_steps "),
        ("schedule: the first step's rate for all", "test_schedule::test_a_function_is_a_schedule",
         "steps = np.arange(first, first + count)",
         "steps = np.full(count, first)"),
    ),
    *of(
        "fastnn_ref/shared/callbacks.py",
        ("callbacks: no change counts as improvement", "test_early_stopping::test_patience",
         "sign * (best - value) > self.min_delta",
         "sign * (best - value) >= self.min_delta"),
        ("callbacks: min_delta forgotten", "test_schedule::test_plateau",
         "sign * (best - value) > self.min_delta",
         "sign * (best - value) > 0"),
        ("callbacks: an accuracy is to fall", "test_early_stopping::test_patience",
         'return 1 if found == "min" else -1',
         "return 1"),
        ("plateau: no cooldown", "test_schedule::test_plateau_cools_down",
         "self.wait, self.cooldown_left = 0, self.cooldown",
         "self.wait, self.cooldown_left = 0, 0"),
        ("plateau: below the floor", "test_schedule::test_plateau",
         "max(self.optimizer.lr * self.factor, min(self.min_lr, self.optimizer.lr))",
         "self.optimizer.lr * self.factor"),
    ),
    *of(
        "fastnn_ref/shared/fit.py",
        ("fit: the penalty in the data's loss", "test_penalty::test_history_tells_the_parts",
         '"data_loss": value - model.penalty_loss',
         '"data_loss": value'),
        ("fit: the validation data's values under the training's names", "test_training::test_history",
         'f"val_{name}": found for',
         "name: found for"),
        ("fit: stop_training is not looked at", "test_training::test_callbacks",
         "if model.stop_training or ctrl_c.pressed:",
         "if ctrl_c.pressed:"),
        ("fit: a resumed training starts at the first epoch", "test_callbacks",
         "for epoch in range(len(history.epoch), epochs):",
         "for epoch in range(epochs):"),
        ("evaluate: sample weights forgotten", "test_loss::test_weights_in_step_epoch_and_fit",
         '{"loss": loss.forward(y, data.t, data.weights)',
         '{"loss": loss.forward(y, data.t)'),
    ),
    *of(
        "fastnn_ref/shared/data.py",
        ("fit: validates on the beginning", "test_training::test_validation_split_is_the_end",
         "for part in (slice(n), slice(n, None)))",
         "for part in (slice(len(data.x) - n, None), slice(len(data.x) - n)))"),
    ),
    *of(
        "fastnn_ref/shared/metrics.py",
        ("accuracy: the smallest output wins", "test_training::test_history",
         'beside a NaN."""\n    return np.where(np.isnan(y).any(axis=1), -1, y.argmax(axis=1))',
         'beside a NaN."""\n    return np.where(np.isnan(y).any(axis=1), -1, y.argmin(axis=1))'),
        ("precision: 0/0 counts as 1", "test_metrics",
         "out=np.zeros(len(below))",
         "out=np.ones(len(below))"),
    ),
    *of(
        "fastnn_ref/shared/state.py",
        ("state: the counters stay", "test_callbacks",
         "    model.network.set_counters(counters)\n",
         ""),
    ),
    *of(
        "fastnn_ref/shared/mixup.py",
        ("mixup: the example before", "test_mixup::test_formula",
         "np.roll(values, -1, axis=0)",
         "np.roll(values, 1, axis=0)"),
        ("mixup: the boost below 1 forgotten", "test_mixup::test_shares_are_beta",
         "+ math.log(next(uniform)) / alpha",
         "+ math.log(next(uniform))"),
        ("mixup: the same draws each epoch", "test_mixup::test_shares_are_beta",
         "philox.uint32(BLOCK, seed, epoch,",
         "philox.uint32(BLOCK, seed, 0,"),
    ),
    *of(
        "fastnn_ref/shared/gradcheck.py",
        ("gradcheck: everything passes", "test_gradcheck::test_a_wrong_gradient_is_found",
         "passed = error <= limit or",
         "passed = True or"),
        ("gradcheck: new masks for each difference", "test_gradcheck::test_every_layer",
         "        model.steps = step\n        return float(",
         "        return float("),
    ),
    *of(
        "fastnn_ref/shared/summary.py",
        ("summary: zeros are the others", "test_penalty::test_zeros",
         "int((value == 0).sum())",
         "int((value != 0).sum())"),
    ),
    *of(
        "fastnn_ref/shared/text_noise.py",
        ("text noise: a text without a word", "test_text_noise::test_something_is_left",
         "            gone.discard(0)\n",
         "            pass\n"),
        ("text noise: capitals are lost", "test_text_noise::test_replace",
         "return found[:1].title() + found[1:] if word[:1].isupper() else found",
         "return found"),
        ("text noise: a word moves on and on", "test_text_noise::test_a_word_moves_once",
         "words[place + 1], words[place]\n                moved = place + 1",
         "words[place + 1], words[place]\n                moved = place"),
        ("text noise: each text the same draws", "test_text_noise::test_a_text_does_not_depend_on_the_others",
         "lanes[kind] + block.astype(np.uint32), first + text",
         "lanes[kind] + block.astype(np.uint32), first"),
    ),
    *of(
        "fastnn_ref/shared/checks.py",
        ("checks: the lower end is refused", "test_bad_input::test_the_ends_of_each_range_work",
         "if value < low or (high",
         "if value <= low or (high"),
        ("checks: class numbers one too large", "test_bad_input::test_message",
         "bad = ~((t >= 0) & (t < k))",
         "bad = ~((t >= 0) & (t <= k))"),
        ("checks: rows may sum to anything", "test_bad_input::test_message",
         "off = np.abs(sums - 1) > 1e-6 +",
         "off = np.abs(sums - 1) > 1 +"),
        ("checks: (n,) targets for any width", "test_bad_input::test_message",
         "tuple(shape) == (len(found), 1)",
         "len(shape) == 2"),
        ("checks: a window too many", "test_pool::test_formula",
         "return tuple((r - k) // s + 1",
         "return tuple(r // s"),
    ),
    *of(
        "fastnn_ref/philox.py",
        ("philox: the rounds' key does not move", "test_philox::test_known_answers",
         "(key[i] + turn * WEYL[i])",
         "(key[i] + WEYL[i])"),
        ("philox: step and stream change places", "test_philox::test_words",
         "counter[:, 2], counter[:, 3] = step % 2**32, stream",
         "counter[:, 2], counter[:, 3] = stream, step % 2**32"),
        ("philox: uniform numbers reach 0", "test_philox::test_uniform_never_reaches_its_ends",
         "(words.astype(np.float64) + 0.5) * 2.0**-32",
         "words.astype(np.float64) * 2.0**-32"),
        ("philox: an element never stays", "test_philox::test_every_order_of_three_is_as_likely",
         "j = i + (word * (n - i) >> 32)",
         "j = i + 1 + (word * (n - i - 1) >> 32)"),
        ("philox: sine before cosine", "test_augment::test_noise_by_words",
         "[radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)]",
         "[radius * np.sin(2 * np.pi * v), radius * np.cos(2 * np.pi * v)]"),
        ("dropout: 1/p for 1/(1 − p)", "test_dropout::test_share_and_mean",
         "return 1 / (1 - p) if p < 1 else 0.0",
         "return 1 / p if p > 0 else 0.0"),
    ),
    *of(
        "fastnn_ref/init.py",
        ("init: fan-in and fan-out change places", "test_init::test_uniform_weights_are_these",
         "return shape[0], shape[1]",
         "return shape[1], shape[0]"),
        ("init: a uniform law of a normal one's width", "test_init::test_spread",
         "limit = math.sqrt(3 * variance(name, shape))",
         "limit = math.sqrt(variance(name, shape))"),
        ("init: orthogonal with the signs of QR", "test_init::test_orthogonal_is_the_one_with_a_positive_diagonal",
         "    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)\n",
         ""),
    ),
]

REFERENCE = [
    *of(
        "fastnn_ref/linear.py",
        ("linear: the bias taken away", "test_linear::test_formula",
         "u = u + b\n",
         "u = u - b\n"),
        ("linear: db is a mean", "test_linear::test_gradient",
         "du_rows.sum(axis=0)",
         "du_rows.mean(axis=0)"),
        ("linear: the activation's derivative forgotten", "test_linear::test_gradient",
         "linear_backward(self.activation.act_backward(dy, u, y), x,",
         "linear_backward(dy, x,"),
    ),
    *of(
        "fastnn_ref/conv.py",
        ("convolution: dx ignores the dilation", "test_conv::test_gradient",
         "top, left = i * dh, j * dw",
         "top, left = i, j"),
        ("convolution: rows padded as columns", "test_conv::test_gradient",
         "padded[:, :, ph:ph + shape[2], pw:pw + shape[3]]",
         "padded[:, :, pw:pw + shape[2], pw:pw + shape[3]]"),
        ("convolution: dW of the first image", "test_conv::test_gradient",
         "(patches.swapaxes(2, 3) @ rows).sum(axis=0)",
         "(patches.swapaxes(2, 3) @ rows)[0]"),
        ("pools: overlapping windows overwrite", "test_pool::test_overlapping_windows_add_up",
         "sw * columns:sw] += dpatches",
         "sw * columns:sw] = dpatches"),
        ("convolution: db without the batch", "test_conv::test_gradient",
         "dw, du.sum(axis=(0, 2, 3))",
         "dw, du[0].sum(axis=(1, 2))"),
    ),
    *of(
        "fastnn_ref/pool.py",
        ("max pool: the last of equals", "test_pool::test_the_first_of_equals_gets_the_gradient",
         "inside.argmax(axis=-1), windows.argmax(axis=-1))",
         "inside.argmax(axis=-1), windows.shape[-1] - 1 - windows[..., ::-1].argmax(axis=-1))"),
        ("max pool: padding is 0", "test_pool::test_padding_never_wins",
         "windows_of(x, kernel, stride, padding, -math.inf)",
         "windows_of(x, kernel, stride, padding, 0)"),
    ),
    *of(
        "fastnn_ref/batchnorm.py",
        ("batch norm: the biased variance runs, reference", "test_norm::test_formula",
         "(running_var, var * n / (n - 1))",
         "(running_var, var)"),
        ("batch norm: momentum is for the old statistics", "test_norm::test_formula",
         "(1 - m) * running + m * new",
         "m * running + (1 - m) * new"),
        ("batch norm: normalises with the unbiased variance", "test_norm::test_formula",
         "(centred**2).mean(axis=axes(x))",
         "(centred**2).sum(axis=axes(x)) / (x.size // x.shape[1] - 1)"),
        ("batch norm: dx without the scale's part", "test_norm::test_gradient",
         " - x_hat * column(dw / n, dy)",
         ""),
        ("batch norm: prediction by the batch", "test_norm::test_formula",
         "if training:\n            centred, mean, var",
         "if True:\n            centred, mean, var"),
        ("batch norm: statistics of an example", "test_norm::test_formula",
         "return (0, *range(2, x.ndim))",
         "return (0, *range(3, x.ndim))"),
    ),
    *of(
        "fastnn_ref/layernorm.py",
        ("layer norm: dx without the weight, reference", "test_norm::test_gradient",
         "g = dy * weight",
         "g = dy"),
        ("layer norm: ε outside the root", "test_norm::test_formula_of_layernorm",
         "keepdims=True) + x.dtype.type(eps))",
         "keepdims=True)) + x.dtype.type(eps)"),
    ),
    *of(
        "fastnn_ref/dropout.py",
        ("dropout: backward without the mask", "test_dropout::test_gradient",
         "dy if self.saved is None else dropout(dy, self.saved, self.p)",
         "dy"),
        ("dropout: the mask the other way round", "test_dropout::test_share_and_mean",
         "self.saved = ~philox",
         "self.saved = philox"),
        ("dropout: prediction drops, too", "test_dropout::test_formula",
         "if not training or self.p == 0:",
         "if self.p == 0:"),
    ),
    *of(
        "fastnn_ref/dropconnect.py",
        ("dropconnect: the variance's p swapped", "test_dropconnect::test_prediction_is_the_mean_over_masks",
         "x.dtype.type(p / (1 - p))",
         "x.dtype.type((1 - p) / p)"),
        ("dropconnect: dW without the mask", "test_dropconnect::test_gradient",
         "dropout(dw, mask, self.p).sum(axis=0)",
         "dw.sum(axis=0)"),
        ("dropconnect: dW of the first example", "test_dropconnect::test_gradient",
         "dropout(dw, mask, self.p).sum(axis=0)",
         "dropout(dw, mask, self.p)[0]"),
        ("dropconnect: one mask for all examples", "test_dropconnect::test_engine_agrees",
         'len(x) if self.mask == "example" else 1',
         "1"),
        ("dropconnect: prediction draws anew", "test_dropconnect::test_engine_agrees",
         "self.network.seed, PREDICTION,",
         "self.network.seed, self.steps,"),
    ),
    *of(
        "fastnn_ref/stochastic_depth.py",
        ("stochastic depth: the gradient without scale", "test_stochastic_depth::test_formula_by_row",
         "self.block.backward_pass(dropout(dy, self.saved, self.p))",
         "self.block.backward_pass(dy)"),
        ("stochastic depth: old gradients stay", "test_stochastic_depth::test_formula_by_batch",
         "                gradient[...] = 0\n",
         "                pass\n"),
        ("residual: the way around is lost in backward", "test_network",
         "return dy + self.block.backward_pass(dy)\n",
         "return self.block.backward_pass(dy)\n"),
    ),
    *of(
        "fastnn_ref/gaussian_noise.py",
        ("noise: the variance for the deviation", "test_augment::test_noise",
         "(std * z)",
         "(std**2 * z)"),
    ),
    *of(
        "fastnn_ref/augment.py",
        ("augment: clockwise", "test_augment::test_quarter_turns",
         "np.array([[c, s], [sign * (t * c - s), sign * (t * s + c)]])",
         "np.array([[c, -s], [sign * (t * c + s), sign * (c - t * s)]])"),
        ("augment: a zoom that shrinks", "test_augment::test_zoom",
         "(t * s + c)]]) / zoom",
         "(t * s + c)]]) * zoom"),
    ),
    *of(
        "fastnn_ref/activation.py",
        ("relu: a slope of 1 at 0, reference", "test_activation::test_relu_at_zero",
         "np.where(y > 0, dy, 0)",
         "np.where(y >= 0, dy, 0)"),
        ("relu: a product where a select should be", "test_activation::test_a_closed_gate_selects",
         "np.where(y > 0, dy, 0)",
         "dy * (y > 0)"),
        ("gelu: the density without −½", "test_activation::test_formula",
         "density = np.exp(-0.5 * u**2)",
         "density = np.exp(-(u**2))"),
        ("gelu: the cube's derivative without 3, reference", "test_activation::test_formula",
         "(1 + 3 * 0.044715 * u**2)",
         "(1 + 0.044715 * u**2)"),
        ("softmax: the wrong axis", "test_activation::test_softmax_formula",
         "e / e.sum(axis=-1, keepdims=True)",
         "e / e.sum(axis=0, keepdims=True)"),
        ("softmax: overflow", "test_activation::test_softmax_formula",
         "e = np.exp(u - u.max(axis=-1, keepdims=True))",
         "e = np.exp(u)"),
        ("he uniform before nothing", "test_init::test_glorot_otherwise",
         "initialisers.default_init(self.activation.name, init)",
         'initialisers.default_init("relu", init)'),
    ),
    *of(
        "fastnn_ref/loss.py",
        ("losses: the sum for the mean", "test_loss::test_formula",
         "/ values[0].size",
         ""),
        ("losses: summed in float32", "test_loss::test_sums_in_float64",
         "return float((values * share).sum(dtype=np.float64)),",
         "return float((values * share.astype(values.dtype)).sum()),"),
        ("huber: one slope further out", "test_loss::test_gradient",
         "c * (e - 0.5 * c), c, weights",
         "c * (e - 0.5 * c), e, weights"),
        ("cross-entropy: smoothing gives ε/(K − 1)", "test_loss::test_formula",
         "target + self.label_smoothing / k",
         "target + self.label_smoothing / max(k - 1, 1)"),
        ("cross-entropy: the mean over all weights", "test_loss::test_class_weight_formula",
         "total = (weights * classes[t]).sum()",
         "total = weights.sum()"),
        ("cross-entropy: 0 · ∞", "test_loss::test_large_logits",
         "out=np.zeros_like(q), where=q > 0)",
         "out=np.zeros_like(q))"),
    ),
    *of(
        "fastnn_ref/shared/closed.py",
        ("subclasses: an abstract class makes objects", "test_network",
         "    if name in ABSTRACT:\n",
         "    if False:\n"),
    ),
    *of(
        "fastnn_ref/shared/custom.py",
        ("hosts: what a failed update changed stays", "test_custom_code",
         "            array[...] = values\n",
         "            pass\n"),
        ("backward: the loss's own array is handed out", "test_loss::test_backward_is_fresh_and_inputs_stay",
         "return self._dy.copy()",
         "return self._dy"),
    ),
    *of(
        "fastnn_ref/optim.py",
        ("momentum: damped", "test_optim::test_formula",
         "v[...] = self.momentum * v + g",
         "v[...] = self.momentum * v + (1 - self.momentum) * g"),
        ("nesterov: looks back", "test_optim::test_formula",
         "g = g + self.momentum * v if self.nesterov",
         "g = g - self.momentum * v if self.nesterov"),
        ("rmsprop: the gradient for its square", "test_optim::test_formula",
         "+ (1 - self.alpha) * g**2",
         "+ (1 - self.alpha) * g"),
        ("adam: no bias correction of the mean", "test_optim::test_formula",
         "unbiased = lr / (1 - beta1**self._steps)",
         "unbiased = lr"),
        ("adam: the betas change places", "test_optim::test_formula",
         "beta2 * s + (1 - beta2) * g**2",
         "beta1 * s + (1 - beta1) * g**2"),
        ("adamw: coupled", "test_optim::test_formula",
         "w *= 1 - lr * decay\n        super().update(w, g, lr, 0.0,",
         "super().update(w, g, lr, decay,"),
    ),
    *of(
        "fastnn_ref/optimizer.py",
        ("optimizers: biases decay", "test_optim::test_formula",
         "self.weight_decay if decays else 0.0",
         "self.weight_decay"),
        ("optimizers: the step is counted afterwards", "test_optim::test_formula",
         "        self._steps += 1\n        for name, w, g, decays in parameters:",
         "        for name, w, g, decays in parameters:"),
        ("optimizers: no clipping by value", "test_optim::test_an_optimizer_clips_before_it_steps",
         "clip_by_value([g for _, _, g, _ in parameters], self.clip_value)",
         "pass"),
        ("optimizers: the penalty's gradient the wrong way", "test_penalty::test_l2_is_weight_decay_for_sgd",
         "g += penalty.gradient(w)",
         "g -= penalty.gradient(w)"),
    ),
    *of(
        "fastnn_ref/penalty.py",
        ("clipping: always to the limit", "test_optim::test_clip_grad_norm",
         "    if norm > limit:\n",
         "    if norm > 0:\n"),
        ("L2: the value without ½, reference", "test_penalty::test_value",
         "0.5 * self.l2 *",
         "self.l2 *"),
        ("L1: the threshold without the step size, reference", "test_penalty::test_proximal_step",
         "np.asarray(step * self.l1, w.dtype)",
         "np.asarray(0 * step + self.l1, w.dtype)"),
        ("L1: small weights stay", "test_penalty::test_proximal_step",
         "np.abs(w) <= threshold, 0 * w + 0, w -",
         "np.abs(w) <= threshold, w, w -"),
        ("max-norm: of the inputs' weights", "test_penalty::test_max_norm",
         "axes = (0,) if w.ndim == 2",
         "axes = (1,) if w.ndim == 2"),
        ("penalties: biases, too", "test_penalty::test_value",
         "return decays or self.biases",
         "return True"),
    ),
    *of(
        "fastnn_ref/network.py",
        ("lock: a callback may train", "test_network::test_a_callback_may_not_train",
         "if self.in_pass or (training and self.depth):",
         "if self.in_pass:"),
        ("streams: containers take a number", "test_stochastic_depth",
         "number + layer._numbered",
         "number + 1"),
        ("streams: a parameter without values takes none", "test_init::test_each_parameter_has_its_stream",
         "                    index += 1\n",
         ""),
        ("masks: always those of the first step", "test_dropout::test_formula",
         "self.in_pass, self.pending, self.pass_step = True, None, self.steps",
         "self.in_pass, self.pending, self.pass_step = True, None, 0"),
    ),
    *of(
        "fastnn_ref/model.py",
        ("step: the counter stands still", "test_dropout::test_step_and_a_loop_by_hand_draw_the_same",
         "network.steps, network.in_pass = network.steps + 1, False",
         "network.in_pass = False"),
        ("epoch: the same order each time", "test_training",
         "philox.permutation(n, network.seed, network.epochs)",
         "philox.permutation(n, network.seed, 0)"),
        ("epoch: the last batch is left out", "test_training",
         "n, steps = len(x), -(-len(x) // size)",
         "n, steps = len(x), len(x) // size"),
        ("epoch: a short batch counts as a whole one", "test_training",
         "self._penalty_loss, len(rows) if ws is None",
         "self._penalty_loss, size if ws is None"),
        ("epoch: weights counted as rows", "test_loss::test_weights_in_step_epoch_and_fit",
         "else float(ws.sum())",
         "else len(rows)"),
    ),
    *of(
        "fastnn_ref/layer.py",
        ("gradients are added up", "test_linear::test_backward_sets_and_never_adds",
         "            gradient[...] = value\n",
         "            gradient[...] += value\n"),
        ("a layer's masks are the first layer's", "test_dropout::test_formula",
         "philox.stream(philox.MASK, self._index))",
         "philox.stream(philox.MASK, 0))"),
    ),
]

KERNELS = [
    *of(
        "fastnn/kernels/norm.inc.c",
        ("batch norm: the biased variance runs", "test_norm::test_formula",
         "(var[c] * count / (count - 1))",
         "var[c]"),
        ("batch norm: momentum is for the old mean", "test_norm::test_formula",
         "mean[c] = old * mean[c] + m * (",
         "mean[c] = m * mean[c] + old * ("),
        ("batch norm: E[x²] − E[x]² in columns", "test_norm::test_a_mean_of_ten_thousand_deviations",
         "hi[v] = LOAD(x);",
         "hi[v] = vzero();"),
        ("batch norm: the gradient's mean stays in, columns", "test_norm::test_engine_agrees",
         "F(fma_)(-db[c], inverse, ds[c])",
         "ds[c]"),
        ("batch norm: the gradient's mean stays in, images", "test_norm::test_engine_agrees",
         "dot_mean, dy[i] - sum_mean)",
         "dot_mean, dy[i])"),
        ("batch norm: pieces joined without their distance", "test_norm::test_engine_agrees",
         " + apart * apart * (seen * weight);",
         ";"),
        ("batch norm: a tail's empty lanes count", "test_norm::test_engine_agrees",
         "vload_first(x, some) - vload_first(mean_hi, some)",
         "vload_first(x, some) - vload(mean_hi)"),
        ("batch norm: ε forgotten in prediction", "test_norm::test_formula",
         "1 / F(sqrt_)(variance[c] + (real)g->eps)",
         "1 / F(sqrt_)(variance[c])"),
        ("layer norm: dx without the weight", "test_norm::test_engine_agrees",
         "ds[j] *= w[j];\n        F(gradient_sums)",
         "ds[j] *= 1;\n        F(gradient_sums)"),
    ),
    *of(
        "fastnn/kernels/dropout.inc.c",
        ("dropout: a part of a line starts at its beginning", "test_dropconnect::test_formula",
         "words[skip + j] < below",
         "words[j] < below"),
        ("dropout: the scale forgotten in whole lines", "test_dropout::test_formula",
         "words[j] < below ? 0 : x[i + j] * scale;",
         "words[j] < below ? 0 : x[i + j];"),
        ("dropout: p = 1 keeps all", "test_dropout::test_ends_of_the_range",
         "for (int64_t i = 0; i < n; ++i) y[i] = 0;",
         "for (int64_t i = 0; i < n; ++i) y[i] = x[i];"),
        ("stochastic depth: p for 1 − p by row", "test_stochastic_depth::test_formula_by_row",
         "return words[row % 4] >= threshold;",
         "return words[row % 4] < threshold;"),
        ("stochastic depth: a row's gradient without scale", "test_stochastic_depth::test_formula_by_row",
         "row[j] *= (real)scale;",
         "row[j] *= 1;"),
    ),
    *of(
        "fastnn/kernels/optim.inc.c",
        ("optimizers: the tail stays", "test_optim::test_formula",
         ": (n); i < end; ++i)",
         ": (n) / LANES * LANES; i < end; ++i)"),
        ("sgd: decay against the gradient", "test_optim::test_formula",
         "w[i] -= lr * F(fma_)(decay, w[i], g[i]);",
         "w[i] -= lr * F(fma_)(-decay, w[i], g[i]);"),
        ("momentum: the step before the velocity's update", "test_optim::test_formula",
         "w[i] -= lr * v[i];",
         "w[i] -= lr * g[i];"),
        ("nesterov: as momentum alone", "test_optim::test_formula",
         "w[i] -= lr * F(fma_)(momentum, v[i], gradient);",
         "w[i] -= lr * v[i];"),
        ("rmsprop: ε inside the root", "test_optim::test_formula",
         "(F(sqrt_)(square[i]) + eps)",
         "F(sqrt_)(square[i] + eps)"),
        ("adam: the mean's bias correction missing", "test_optim::test_formula",
         "correction1 = 1 - pow(u->beta1, (double)u->step)",
         "correction1 = 1"),
        ("adam: the square's bias correction missing", "test_optim::test_formula",
         "correction2 = 1 - pow(u->beta2, (double)u->step)",
         "correction2 = 1"),
        ("adamw: decay without the rate", "test_optim::test_formula",
         "1 - u->lr * u->decay : 1)",
         "1 - u->decay : 1)"),
        ("clipping: negative values as positive", "test_optim::test_clip_grad_value",
         "g[i] < -limit ? -limit : g[i];",
         "g[i] < -limit ? limit : g[i];"),
    ),
    *of(
        "fastnn/kernels/losses.def",
        ("mse: half the slope", "test_loss::test_gradient",
         '"mse", e * e, 2 * e)',
         '"mse", e * e, e)'),
        ("l1: a slope at 0", "test_loss::test_kinks",
         "e > 0 ? 1 : e < 0 ? -1 : e)",
         "e >= 0 ? 1 : -1)"),
        ("huber: no lower limit of the slope", "test_loss::test_engine_agrees",
         "e < -delta ? -delta : e)",
         "e)"),
    ),
    *of(
        "fastnn/kernels/loss.inc.c",
        ("bce: smoothed towards 1", "test_loss::test_formula",
         "smoothing * ((real)0.5 - t)",
         "smoothing * (1 - t)"),
        ("cross-entropy: smoothing shared by K − 1", "test_loss::test_formula",
         ".spread = (real)(g->delta / (double)g->size)",
         ".spread = (real)(g->delta / (double)(g->size - 1))"),
        ("cross-entropy: long rows lose their target", "test_loss::test_engine_agrees",
         "p[F(class_of)(g->classes, i, k)] -= keep * weight;",
         ""),
        ("cross-entropy: the last rows of a block do not count", "test_loss::test_engine_agrees",
         "for (int64_t l = 0; l < n; ++l) {\n        product",
         "for (int64_t l = 0; l < n - 1; ++l) {\n        product"),
        ("weighted loss: weights of 0 count", "test_loss::test_a_weight_of_two_is_the_example_twice",
         "if (weight > 0) value += weight * l;",
         "value += l / (double)g->rows;"),
        ("first_outside: the range's end is outside", "test_loss",
         "if (!(x[i] >= low && x[i] <= high)) return i;",
         "if (!(x[i] >= low && x[i] < high)) return i;"),
    ),
    *of(
        "fastnn/kernels/activations.def",
        ("relu: a slope at 0", "test_activation::test_relu_at_zero",
         "u < 0 ? 0 : u, y > 0 ? dy : 0)",
         "u < 0 ? 0 : u, y >= 0 ? dy : 0)"),
        ("elu: the slope of α = 1", "test_activation::test_formula",
         "dy * (y + alpha))",
         "dy * (y + 1))"),
        ("tanh: the slope of sigmoid", "test_activation::test_formula",
         "dy * (1 - y * y))",
         "dy * (y * (1 - y)))"),
    ),
    *of(
        "fastnn/kernels/elementwise.inc.c",
        ("silu: its slope without u", "test_activation::test_formula",
         "return y * (1 + u * (1 - y));",
         "return y * (1 + (1 - y));"),
        ("gelu: the cube's derivative without 3", "test_activation::test_formula",
         "(real)(3 * 0.044715)",
         "(real)0.044715"),
        ("softmax: backward without the sum", "test_activation::test_engine_agrees",
         "du[j] = y[j] * (dy[j] - total);",
         "du[j] = y[j] * dy[j];"),
        ("log-softmax: the sum's tail", "test_activation::test_softmax_of_many_rows",
         "for (int l = 0; i + l < cols; ++l) lane[l] += F(exp_)(u[i + l] - top);",
         ""),
        ("bias gradient: the last columns", "test_linear::test_engine_agrees",
         "for (; j < cols; j += VL) F(add_columns)",
         "for (; j + VL <= cols; j += VL) F(add_columns)"),
        ("mixup: the last row's next is itself", "test_mixup::test_formula",
         "(i + 1 < rows ? i + 1 : 0)",
         "(i + 1 < rows ? i + 1 : i)"),
    ),
    *of(
        "fastnn/kernels/reduce.inc.c",
        ("maximum: the tail", "test_activation::test_softmax_of_many_rows",
         "for (; i < n; ++i) lane[0] = MAX_NAN(lane[0], x[i]);",
         ""),
        ("dot product: a lane dropped in the tail", "test_dropconnect::test_engine_agrees",
         "F(load_partial)(other, b + i, n - i);",
         "F(load_partial)(other, b + i, n - i > 1 ? n - i - 1 : 1);"),
        ("norm: the tail of the sum of squares", "test_optim::test_clip_grad_norm",
         "for (int l = 0; i + l < n; ++l) lane[l] += (double)g[i + l] * (double)g[i + l];",
         ""),
    ),
    *of(
        "fastnn/kernels/penalty.inc.c",
        ("L1: the threshold pushes away from 0", "test_penalty::test_proximal_step",
         "w < 0 ? w + t : w - t",
         "w < 0 ? w - t : w + t"),
        ("L1: the threshold without the step size", "test_penalty::test_proximal_step",
         "(real)(r->l1 * s->scale)",
         "(real)(r->l1)"),
        ("L1: a subgradient at 0", "test_penalty::test_subgradient",
         "w[i] > 0 ? l1 : w[i] < 0 ? -l1 : 0)",
         "w[i] >= 0 ? l1 : -l1)"),
        ("L2: the value without ½", "test_penalty::test_value",
         "total += 0.5 * r->l2",
         "total += r->l2"),
        ("max-norm: short columns are made longer", "test_penalty::test_max_norm",
         "return sqrt(square) > limit ? limit / sqrt(square) : 1;",
         "return limit / sqrt(square);"),
        ("max-norm: the norm of all units", "test_penalty::test_max_norm",
         "square[u] += value * value;",
         "square[0] += value * value;"),
    ),
    *of(
        "fastnn/kernels/pool.inc.c",
        ("max pool: padding may win", "test_pool::test_padding_never_wins",
         "row[e] = -INFINITY;",
         "row[e] = 0;"),
        ("max pool: all of several equals get the gradient", "test_pool::test_the_first_of_equals_gets_the_gradient",
         "open[j - start] = hit ? 0 : open[j - start];",
         ""),
        ("max pool: the last column of a window", "test_pool::test_formula",
         "for (int64_t c = 2; c < kernel; ++c)",
         "for (int64_t c = 2; c < kernel - 1; ++c)"),
        ("max pool: overlapping windows of a block overwrite", "test_pool::test_engine_agrees",
         "if (!tiled) gradient += vload(dx + at);",
         ""),
        ("average pool: a block's gradient is the sum's", "test_pool::test_engine_agrees",
         "gradient[l] = dy[l] / count;",
         "gradient[l] = dy[l];"),
        ("global pool: the sum for the mean", "test_pool::test_engine_agrees",
         "image) / (real)image;",
         "image);"),
    ),
    *of(
        "fastnn/kernels/augment.inc.c",
        ("augment: radians for degrees", "test_augment::test_engine_agrees",
         "3.14159265358979323846 / 180;",
         "1;"),
        ("augment: backward forgets contrast's mean", "test_augment::test_engine_agrees",
         "dy[e] * transform.factor + rest;",
         "dy[e] * transform.factor;"),
        ("augment: the gradient of a pixel's lower neighbour", "test_augment::test_engine_agrees",
         "corner[pitch] += s.weight[2][k] * from[k];",
         "corner[pitch] += s.weight[1][k] * from[k];"),
        ("augment: all examples get the first one's draws", "test_augment::test_engine_agrees",
         "(uint64_t)(example * (AUGMENT_WORDS / 4) + block)",
         "(uint64_t)block"),
        ("noise: an odd number starts with its cosine", "test_augment::test_engine_agrees",
         "F(fma_)(std, z[skip + j], x[i + j])",
         "F(fma_)(std, z[j], x[i + j])"),
    ),
    *of(
        "fastnn/kernels/gemm.inc.c",
        ("product: the tile's edge", "test_gemm::test_nothing_outside_is_touched",
         ".tail = (int)(valid - width + VL),",
         ".tail = VL,"),
        ("product: the second block starts from the bias", "test_gemm::test_long_edges",
         ".start = !first ? tile : bias ?",
         ".start = bias ?"),
        ("product: the second block goes on in the first row", "test_gemm::test_long_edges",
         ".start_row = first ? 0 : g->c_row,",
         ".start_row = 0,"),
        ("product: the activation after each block", "test_gemm::test_epilogue",
         "if (final && activate)",
         "if (activate)"),
        ("product: a packed operand is not transposed", "test_gemm::test_every_size",
         "if (b_row == 1) F(transpose)(from, b_col, to, width, valid, k);",
         "if (b_row == 1) memcpy(to, from, (size_t)(k * valid) * sizeof(real));"),
        ("product: the last rows", "test_gemm::test_nothing_outside_is_touched",
         "const int rows = F(balanced_tile)(i1 - ir, MR);",
         "const int rows = MR;"),
    ),
    *of(
        "fastnn/kernels/conv_correlate.inc.c",
        ("convolution: dx by weights that are not flipped", "test_conv::test_engine_agrees",
         "window + window - 1 - t];",
         "window + t];"),
        ("convolution: every group reads the first one's images", "test_conv::test_engine_agrees",
         "t.from = F(planes_at)(g, n) + k * c->in_channels * g->channel_size;",
         "t.from = F(planes_at)(g, n);"),
        ("convolution: the last vector of a row writes on", "test_conv::test_engine_agrees",
         "t.lanes[v] = (int)min64(VL, cols - j);",
         "t.lanes[v] = VL;"),
    ),
    *of(
        "fastnn/kernels/conv_layout.inc.c",
        ("convolution: old values in the gaps", "test_conv::test_engine_agrees",
         "if (!g->contiguous) memset(to, 0, (size_t)(g->channel_size * unit) * sizeof(real));",
         ""),
    ),
    *of(
        "fastnn/kernels/conv_weight.inc.c",
        ("convolution: db of the blocks alone", "test_conv::test_engine_agrees",
         "for (int64_t n = blocks * LANES; n < g->images; ++n)\n            lane[0]",
         "for (int64_t n = blocks * LANES; n < g->images - 1; ++n)\n            lane[0]"),
    ),
    *of(
        "fastnn/kernels/dropconnect.inc.c",
        ("dropconnect: dx without the mask", "test_dropconnect::test_formula",
         "masked[c] = words[c] < below ? 0 : weight;",
         "masked[c] = weight;"),
        ("dropconnect: dW without the scale", "test_dropconnect::test_formula",
         "below, x[example] * scale, w + at,",
         "below, x[example], w + at,"),
        ("dropconnect: the variance without its factor", "test_dropconnect::test_closed_form_for_relu",
         "y[i] = factor * (x[i] * x[i]);",
         "y[i] = x[i] * x[i];"),
    ),
    *of(
        "fastnn/kernels/philox.h",
        ("philox: the kernel's key moves by another constant", "test_philox::test_words_of_the_kernel",
         "k1 += PHILOX_W1) {\n        const uint64_t p0",
         "k1 += PHILOX_W0) {\n        const uint64_t p0"),
    ),
    *of(
        "fastnn/kernels/math.inc.c",
        ("exp: subnormal results are 0", "test_math",
         "#define EXP_LOW -746.0",
         "#define EXP_LOW -700.0"),
        ("tanh: one bit of the argument", "test_math::test_last_places",
         "F(expm1_)(-2 * (x < 0 ? -x : x))",
         "F(expm1_)((real)-2.000002 * (x < 0 ? -x : x))"),
    ),
    *of(
        "fastnn/kernels/transpose.inc.c",
        ("transpose: the rest of a tile", "test_gemm::test_nothing_outside_is_touched",
         "const int64_t down = min64(VL, rows - i), across = min64(VL, cols - j);",
         "const int64_t down = VL, across = min64(VL, cols - j);"),
    ),
]

ENGINE = [
    *of(
        "fastnn/conv_tables.py",
        ("tables: a column's phase of the stride forgotten", "test_conv_tables",
         "return x % stride_w * self.height * self.pitch + x // stride_w",
         "return x // stride_w"),
        ("tables: a window's begin by the image's width", "test_conv_tables",
         "window_begin=order // cols * self.pitch + order % cols",
         "window_begin=order // cols * cols + order % cols"),
    ),
    *of(
        "fastnn/memory.pyx",
        ("plan: scratch memory is what layers keep", "test_conv::test_engine_agrees",
         "start + <int64_t>(self.size + offset)",
         "start + <int64_t>offset"),
    ),
    *of(
        "fastnn/network.pyx",
        ("plan: another image size, the old plan", "test_conv::test_other_image_sizes_and_batches",
         "shape is not plan.shape and shape != plan.shape",
         "len(shape) != len(plan.shape)"),
        ("pass: masks of the first step", "test_dropout::test_formula",
         "self.run.rows, self.run.training, self.run.step = rows, training, <uint32_t>self.step_count",
         "self.run.rows, self.run.training, self.run.step = rows, training, 0"),
        ("pass: a prediction counts as a step", "test_model::test_predicting_changes_nothing",
         "self.step_count += training",
         "self.step_count += 1"),
        ("streams: containers take a number, engine", "test_stochastic_depth::test_engine_agrees",
         "number += node.numbered()",
         "number += 1"),
        ("weights: values that a layer has are drawn anew", "test_model::test_a_trained_layer_moves",
         "if given is not None and given.shape == shape:",
         "if given is not None and given.shape == ():"),
        ("max-norm: the units of a filter's width", "test_penalty::test_max_norm",
         "value.shape[1] if value.ndim == 2 else value.shape[0]",
         "value.shape[1] if value.ndim == 2 else value.shape[1]"),
        ("clipping: the norm of the first span", "test_optim::test_clip_grad_norm",
         "return k.sum_squares(self.spans[0].g, self.parameter_count)",
         "return k.sum_squares(self.spans[0].g, self.spans[0].n)"),
    ),
    *of(
        "fastnn/sequential.pyx",
        ("backward: layers before the last get no gradient", "test_model::test_step_is_the_loop_by_hand",
         "wants_dx or i > 0",
         "wants_dx"),
        ("plan: any output may be written over", "test_stacks",
         "x_layout, in_place = y_layout, layer.output_is_reusable()",
         "x_layout, in_place = y_layout, True"),
        ("plan: interleaved images for a layer that does not know them", "test_stacks",
         "if layer.layout() != PASS_THROUGH:\n                return layer.layout()",
         "if layer.layout() == INTERLEAVED:\n                return layer.layout()"),
        ("plan: the layout of the layer before the last", "test_stacks",
         "plan_node(layer, shape, rows, plan, x_layout, y_layout, in_place)",
         "plan_node(layer, shape, rows, plan, PLAIN, y_layout, in_place)"),
    ),
    *of(
        "fastnn/model.pyx",
        ("epoch: weights counted as rows, engine", "test_loss::test_weights_in_step_epoch_and_fit",
         "network.sums[0] += count * e.value",
         "network.sums[0] += rows * e.value"),
        ("epoch: the first step's rate for all, engine", "test_schedule::test_a_function_is_a_schedule",
         "e.lr[e.batch - e.lr_start]",
         "e.lr[0]"),
        ("epoch: targets are not shuffled", "test_training",
         "gather(e.t_batch, e.t, e.order + start, rows, e.t_bytes)",
         "memcpy(e.t_batch, e.t + start * e.t_bytes, rows * e.t_bytes)"),
        ("epoch: the same order each time, engine", "test_training",
         "<uint32_t>network.epoch_count, SHUFFLE)",
         "0, SHUFFLE)"),
        ("epoch: the sum of the penalties", "test_penalty",
         "self.penalty_loss = network.sums[1] / rows",
         "self.penalty_loss = network.sums[1]"),
        ("epoch: targets are not mixed", "test_mixup",
         "x, t = e.x_mixed, e.t_mixed",
         "x = e.x_mixed"),
        ("step: the loss of the first example's weight", "test_loss::test_weights_in_step_epoch_and_fit",
         "value = loss.value_pass(p, y, t, classes, weights, network",
         "value = loss.value_pass(p, y, t, classes, NULL, network"),
        ("predict: each piece of the first rows", "test_model::test_predict_does_not_depend_on_the_chunks",
         "rows_of_x + start * network.planned.in_size * network.real_size",
         "rows_of_x"),
    ),
    *of(
        "fastnn/optim.pyx",
        ("optimizers: biases decay, engine", "test_optim::test_formula",
         "self.weight_decay if network.spans[i].decays else 0)",
         "self.weight_decay)"),
        ("optimizers: the step is not counted", "test_optim::test_formula",
         "        self.updates += 1\n        self.update_all",
         "        self.update_all"),
        ("optimizers: clipped to the limit always", "test_optim::test_an_optimizer_clips_before_it_steps",
         "if norm > self.max_norm:",
         "if norm < self.max_norm:"),
        ("optimizers: the threshold of a rate of 1", "test_penalty::test_engine_agrees",
         "size = self.step_size(lr)",
         "size = self.step_size(1)"),
        ("nesterov: forgotten on the way to the kernel", "test_optim::test_formula",
         "self.momentum, self.nesterov\n",
         "self.momentum, 0\n"),
        ("momentum: weights and biases share it", "test_optim::test_formula",
         "u.mean, u.beta1, u.nesterov = at(self.v, start, p)",
         "u.mean, u.beta1, u.nesterov = at(self.v, 0, p)"),
    ),
    *of(
        "fastnn/linear.pyx",
        ("linear: dW by a transposed operand", "test_linear::test_engine_agrees",
         "g.a, g.a_row, g.a_col = self.x, 1, self.in_features",
         "g.a, g.a_row, g.a_col = self.x, self.in_features, 1"),
        ("linear: db is not summed", "test_linear::test_engine_agrees",
         "dy, dy, self.db if self.has_bias else NULL,",
         "dy, dy, NULL,"),
        ("linear: dy's buffer is used twice", "test_stacks",
         "        p.spare = du\n",
         ""),
    ),
    *of(
        "fastnn/dropout.pyx",
        ("dropout: backward without the mask, engine", "test_dropout::test_formula",
         "if wants_dx and self.p > 0:",
         "if wants_dx and self.p > 1:"),
    ),
    *of(
        "fastnn/dropconnect.pyx",
        ("dropconnect: dx by the weights without a mask", "test_dropconnect::test_formula",
         "return self.input_gradient(p, dy, self.masked)",
         "return self.input_gradient(p, dy, self.w)"),
        ("dropconnect: the variance's p swapped, engine", "test_dropconnect::test_closed_form_for_relu",
         "self.p / (1 - self.p))",
         "(1 - self.p) / self.p)"),
    ),
    *of(
        "fastnn/stochastic_depth.pyx",
        ("stochastic depth: old gradients stay, engine", "test_stochastic_depth::test_formula_by_batch",
         "memset(<void *><uintptr_t>self.span[2 * i], 0, self.span[2 * i + 1])",
         "pass"),
        ("residual: the way around is lost in backward, engine", "test_stochastic_depth::test_engine_agrees",
         "p.k.residual(self.beside, dy, dy, p.rows,",
         "p.k.residual(dy, dy, dy, p.rows,"),
    ),
    *of(
        "fastnn/layernorm.pyx",
        ("layer norm: the rows of an example as one", "test_norm::test_engine_agrees",
         "self.g.rows, self.g.threads = p.rows * self.groups, p.threads",
         "self.g.rows, self.g.threads = p.rows, p.threads"),
    ),
    *of(
        "fastnn/loss.pyx",
        ("cross-entropy: class weights forgotten", "test_loss::test_class_weight_formula",
         "class_weight=self.by_class,",
         "class_weight=NULL,"),
        ("cross-entropy: smoothing forgotten", "test_loss::test_formula",
         "kind=0, delta=self.label_smoothing,",
         "kind=0, delta=0,"),
        ("backward: the loss's own array is handed out, engine", "test_loss::test_backward_is_fresh_and_inputs_stay",
         "return self.gradient.copy()",
         "return self.gradient"),
    ),
]

MUTANTS = SHARED + REFERENCE + KERNELS + ENGINE


# ---- running them ----


def run(
    arguments: list[str], tree: Path, timeout: float | None = None, **environment: str,
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=timeout)


def build(tree: Path, changed: str = "") -> None:
    """Compiles what has changed; at first the kernels, for the quick set."""
    for library in (path for path in (tree / "fastnn").iterdir() if path.suffix in (".so", ".pyd")):
        kernels = library.name.startswith("_kernels.")
        if not changed and kernels:
            library.unlink()
        elif changed.startswith("fastnn/kernels/") and not kernels:
            library.touch()  # it reads a header of theirs, which says nothing about what is inside a kernel
    done = run(["setup.py", "-q", "build_ext", "--inplace"], tree, **QUICK)
    if done.returncode:
        raise RuntimeError(f"the build failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def fails(tree: Path, *options: str, timeout: float | None = None) -> list[str]:
    """The tests that fail, or what pytest says if it ends otherwise; nothing if all pass."""
    try:
        done = run(["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *options], tree, timeout)
    except subprocess.TimeoutExpired:
        return [f"no end after {timeout} s"]
    words = [line.split() for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [] if done.returncode == 0 else [line[1] for line in words] or [f"exit {done.returncode}: {done.stdout}"]


def survivors(mutants: list[Mutant], tree: Path) -> list[Mutant]:
    """Runs the mutants in a copy of the tree, prints a line for each, and returns those that are not caught."""
    compiled = [mutant for mutant in mutants if mutant.is_compiled()]
    if compiled:
        build(tree)
    broken = fails(tree, *dict.fromkeys(mutant.test for mutant in mutants))
    alive = []
    for mutant in [*(m for m in mutants if m not in compiled), *compiled]:
        start, verdict = time.perf_counter(), "caught"
        if any(not name.startswith("tests/") or name.startswith(mutant.test) for name in broken):
            verdict = "fails without the fault"
        else:
            before = mutant.apply(tree)
            try:
                if mutant in compiled:
                    build(tree, mutant.path)
                verdict = "caught" if fails(tree, "-x", mutant.test, timeout=HANGS) else "SURVIVED"
            finally:
                (tree / mutant.path).write_text(before, "utf-8")
        seconds = f"{time.perf_counter() - start:6.1f} s"
        print(f"{seconds}  {verdict}: {mutant.name}{'' if verdict == 'caught' else f' ({mutant.test})'}", flush=True)
        alive += [] if verdict == "caught" else [mutant]
    return alive


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="WORD", help="those whose name or file has it")
    parser.add_argument("--list", action="store_true", help="names and tests, nothing is run")
    options = parser.parse_args(argv)
    chosen = [mutant for mutant in MUTANTS if (options.only or "") in f"{mutant.name} {mutant.path}"]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.path:36} {mutant.name}\n{'':36} {mutant.test}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "results", "lib.*", "temp.*"))
        alive = survivors(chosen, tree)
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
