"""Every layer and activation through ONNX and back, and through PyTorch and back, and ten steps further."""

import pytest

from tests import round_trips

pytestmark = pytest.mark.slow
KINDS = round_trips.kinds()


def check(found, predictions, losses):
    assert max(found.outside, found.back) <= predictions
    assert found.losses is None or found.losses <= losses


@pytest.mark.parametrize("kind", KINDS)
def test_through_onnx(kind, tmp_path):
    """The last of the cases that can be written, which is of the odd ones."""
    for package in "onnx", "onnxruntime":
        pytest.importorskip(package, reason=f"{package} is missing: layers do NOT go through ONNX")
    found = next(filter(None, (round_trips.through_onnx(case, tmp_path / "model.onnx") for case in KINDS[kind][::-1])))
    check(found, 2e-6, 2e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Augment"])
def test_through_pytorch(kind):
    """PyTorch's slope of a Hardsigmoid is 1/6 as float32 has it."""
    pytest.importorskip("torch", reason="PyTorch is missing: layers do NOT go through it")
    found = next(filter(None, map(round_trips.through_pytorch, KINDS[kind][::-1])))
    check(found, 1e-14, 1e-7 if kind in ("Linear", "Hardsigmoid") else 1e-12)


def test_the_page_lists_every_kind():
    page = round_trips.PAGE.read_text("utf-8")
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(KINDS)
    assert page.startswith(round_trips.HEAD)


def test_the_page_counts_the_cases(tmp_path):
    """It had none of Winograd's convolutions, which do not come back as such."""
    for package in "onnx", "onnxruntime":
        pytest.importorskip(package, reason=f"{package} is missing: layers do NOT go through ONNX")
    page = round_trips.PAGE.read_text("utf-8")
    for kind in ("Conv2d", "MaxPool2d", "AvgPool2d", "Linear"):
        found = [round_trips.through_onnx(case, tmp_path / "model.onnx") for case in KINDS[kind]]
        assert f"| `{kind}` | {sum(each is not None for each in found)} |" in page
