"""Each way to draw weights against its formula, and who gets which.

Tolerances: the deviation of n draws has a standard error of about deviation / √(2n), a mean one of
deviation / √n; matrices here have 120,000 numbers, so 1 % of the deviation is four errors or more.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.modeling import anatomy, architecture, initialization
from pipeline.tasks.task import of
from tests.helpers import ROOT, changed
from tests.pipeline.small import FAMILIES, small

OUT, IN = 300, 400
TOLERANCE = 0.01


def how(scheme: str, **others: Any) -> Any:
    values = {"value": 0.3, "std": 0.02, "bound": 0.05, "gain": None}
    return SimpleNamespace(scheme=scheme, **(values | others))


def drawn(scheme: str, gain: float = 1.0, **others: Any) -> torch.Tensor:
    draw = initialization.SCHEMES[scheme]
    return draw((OUT, IN), how(scheme, **others), gain, torch.Generator().manual_seed(5))


DEVIATIONS: dict[str, Callable[[float], float]] = {
    "normal": lambda gain: 0.02,
    # φ(2) = 0.0539910, Φ(2) - Φ(-2) = 0.9544997; variance 1 - 2·2·φ(2) / 0.9544997 = 0.7737413.
    "truncated_normal": lambda gain: 0.02 * math.sqrt(0.7737413),
    "uniform": lambda gain: 0.05 / math.sqrt(3),
    "xavier_uniform": lambda gain: gain * math.sqrt(2 / (IN + OUT)),
    "xavier_normal": lambda gain: gain * math.sqrt(2 / (IN + OUT)),
    "he_uniform": lambda gain: gain / math.sqrt(IN),
    "he_normal": lambda gain: gain / math.sqrt(IN),
    "orthogonal": lambda gain: gain / math.sqrt(IN),  # of 300 orthonormal rows of 400 numbers
}
LIMITS: dict[str, Callable[[float], float]] = {
    "truncated_normal": lambda gain: 0.04,
    "uniform": lambda gain: 0.05,
    "xavier_uniform": lambda gain: gain * math.sqrt(6 / (IN + OUT)),
    "he_uniform": lambda gain: gain * math.sqrt(3 / IN),
}


@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
@pytest.mark.parametrize("scheme", DEVIATIONS)
def test_mean_and_deviation_are_those_of_the_formula(scheme: str, gain: float) -> None:
    values = drawn(scheme, gain).double()
    expected = DEVIATIONS[scheme](gain)
    assert abs(float(values.mean())) < TOLERANCE * expected
    assert float(values.std()) == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.parametrize("scheme", LIMITS)
def test_nothing_lies_beyond_the_limits_and_they_are_nearly_reached(scheme: str) -> None:
    largest, limit = float(drawn(scheme, 1.5).abs().max()), LIMITS[scheme](1.5)
    assert 0.99 * limit < largest <= limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("scheme", "fourth"),
    # E[x⁴] / E[x²]²: 3 for a normal, 9/5 for a uniform; 2.3655 for a normal cut at two deviations,
    # from E[x⁴] = 3·0.7737413 - 2·8·φ(2)/0.9544997 = 1.4161885 over 0.7737413².
    [
        ("normal", 3.0), ("xavier_normal", 3.0), ("he_normal", 3.0), ("truncated_normal", 2.3655),
        ("uniform", 1.8), ("xavier_uniform", 1.8), ("he_uniform", 1.8),
    ],
)  # fmt: skip
def test_the_shape_of_the_distribution(scheme: str, fourth: float) -> None:
    values = drawn(scheme).double()
    assert float((values**4).mean() / (values**2).mean() ** 2) == pytest.approx(fourth, rel=0.02)


def test_zeros_and_constants() -> None:
    assert not drawn("zeros").any()
    assert (drawn("constant") == torch.tensor(0.3)).all()


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40)])
def test_orthogonal_rows_or_columns(shape: tuple[int, int]) -> None:
    matrix = initialization.orthogonal(shape, None, 2.0, torch.Generator().manual_seed(1)).double()
    product = matrix @ matrix.T if shape[0] <= shape[1] else matrix.T @ matrix
    expected = 4.0 * torch.eye(min(shape), dtype=torch.float64)
    assert torch.allclose(product, expected, atol=1e-5)


def test_gains() -> None:
    """relu √2 and tanh 5/3 are torch's; the others from a sum of their own, by trapezoids."""
    assert initialization.gain("linear") == 1.0
    assert initialization.gain("relu") == pytest.approx(math.sqrt(2))
    assert initialization.gain("tanh") == pytest.approx(5 / 3)
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    silu = z / (1 + np.exp(-z))
    erf = np.array([math.erf(one / math.sqrt(2)) for one in z])
    gelu = z * (1 + erf) / 2
    for name, values in (("silu", silu), ("gelu", gelu)):
        expected = 1 / math.sqrt(np.trapezoid(values**2 * density, z))
        assert initialization.gain(name) == pytest.approx(expected, rel=1e-6), name
    assert initialization.gain("gelu_tanh") == pytest.approx(initialization.gain("gelu"), rel=1e-3)
    # The method gives relu's √2 where the answer is known; its kink costs some digits.
    assert initialization.normal_gain(torch.relu) == pytest.approx(math.sqrt(2), rel=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_weight_of_each_family_follows_its_rule(family: tuple[str, str]) -> None:
    constant = {"scheme": "constant", "std": 1.0, "bound": 1.0, "gain": None}
    model, _tokenizer = small(
        family,
        {
            "init.weights": {
                "embeddings": constant | {"value": 0.1}, "layers": constant | {"value": 0.2},
                "head": constant | {"value": 0.3}, "bias": 0.4, "norm": 0.5,
            }
        },
    )  # fmt: skip
    head = {name for name, _weight in anatomy.head(model)}
    words = model.get_input_embeddings().weight
    found: set[float] = set()
    for name, weight in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        if name.endswith("bias"):
            expected = 0.4
        elif weight.ndim == 1:
            expected = 0.5
        elif name in head:
            expected = 0.3
        else:
            expected = 0.1 if isinstance(owner, torch.nn.Embedding) else 0.2
        rest = weight[1:] if weight is words else weight
        assert (rest == expected).all(), name
        found.add(expected)
    assert {0.1, 0.2, 0.3, 0.5} <= found
    assert model.config.pad_token_id == 0
    assert not words[0].any(), "a padding token says nothing"


def test_layers_get_the_gain_of_their_activation_and_the_output_none() -> None:
    he = {"scheme": "he_normal", "value": 0.0, "std": 1.0, "bound": 1.0, "gain": None}
    relu, plain = (
        small(
            ("encoder", "learned"),
            {
                "init.scratch.activation": "relu", "init.scratch.hidden": 128,
                "init.weights.layers": he | {"gain": gain}, "init.weights.head": he,
            },
        )[0]
        for gain in (None, 1.0)
    )  # fmt: skip
    for model, gain in ((relu, math.sqrt(2)), (plain, 1.0)):
        query = model.bert.encoder.layer[0].attention.self.query.weight
        assert float(query.detach().std()) == pytest.approx(gain / math.sqrt(128), rel=0.03)
        pooler = model.bert.pooler.dense.weight
        assert float(pooler.detach().std()) == pytest.approx(5 / 3 / math.sqrt(128), rel=0.03)
        output = model.classifier.weight  # 384 numbers
        assert float(output.detach().std()) == pytest.approx(1 / math.sqrt(128), rel=0.15)


def test_gpt2_keeps_its_matrices_the_other_way_round() -> None:
    """Its inner matrix is stored [inputs 32, outputs 64]: He's deviation is gain / √32."""
    he = {"scheme": "he_normal", "value": 0.0, "std": 1.0, "bound": 1.0, "gain": 1.0}
    model, _tokenizer = small(("decoder", "learned"), {"init.weights.layers": he})
    matrix = model.transformer.h[0].mlp.c_fc.weight
    assert matrix.shape == (32, 64)
    assert float(matrix.detach().std()) == pytest.approx(1 / math.sqrt(32), rel=0.05)


def test_the_seed_decides_and_a_layer_more_changes_none_below() -> None:
    one, same, other = (small(("encoder", "learned"), seed=seed)[0] for seed in (1, 1, 2))
    taller = small(("encoder", "learned"), {"init.scratch.layers": 3})[0].state_dict()
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name])
        assert torch.equal(weight, taller[name])
        if weight.ndim > 1 and weight.is_floating_point():
            assert not torch.equal(weight, other.state_dict()[name])


def test_torch_is_not_asked_for_random_numbers_of_its_own() -> None:
    """What was drawn before, and the library's own initialization, leave no trace."""
    model, _tokenizer = small(("encoder", "learned"))
    again, _tokenizer = small(("encoder", "learned"))
    knobs = changed().init.weights
    torch.manual_seed(99)
    torch.rand(7)
    initialization.draw(again, knobs, seed=1, activation="gelu")
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])


def test_the_bytes_are_those_of_every_process() -> None:
    program = (
        "import hashlib, torch\n"
        "from pipeline.modeling import initialization as i\n"
        "from tests.pipeline.test_initialization import how\n"
        "whole = hashlib.sha256()\n"
        "for name, draw in i.SCHEMES.items():\n"
        "    generator = i.generator_of(3, 'a.weight')\n"
        "    whole.update(draw((200, 333), how(name), 1.5, generator).numpy().tobytes())\n"
        "print(whole.hexdigest())"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True,
            env={"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads, "PATH": ""},
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1


def test_only_what_a_checkpoint_lacks_is_drawn(tmp_path: Any) -> None:
    """It brings a pooler, so of the head the output layer alone is new."""
    model, tokenizer = small(("encoder", "learned"))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    knobs = changed(
        {
            "init.weights.head.scheme": "constant", "init.weights.head.value": 0.25,
            "init.weights.bias": 0.5,
        }
    ).init.weights  # fmt: skip
    task = of("multi_label", ["a", "b", "c", "d", "e"])
    loaded, _tokenizer = architecture.load_pretrained(
        str(tmp_path), task, knobs, max_tokens=16, seed=1
    )
    before = model.state_dict()
    for name, weight in loaded.state_dict().items():
        if name.startswith("classifier."):
            assert (weight == (0.5 if name.endswith("bias") else 0.25)).all()
        else:
            assert torch.equal(weight, before[name])


def test_a_checkpoint_without_a_head_gets_pooler_and_output(tmp_path: Any) -> None:
    from safetensors.torch import load_file, save_file

    model, tokenizer = small(("encoder", "learned"))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    body = {
        name: one
        for name, one in load_file(file).items()
        if "pooler" not in name and "classifier" not in name
    }
    save_file(body, file, metadata={"format": "pt"})
    task = of("single_label", ["a", "b", "c"])
    knobs = changed().init.weights
    first, second = (
        architecture.load_pretrained(str(tmp_path), task, knobs, max_tokens=16, seed=seed)[0]
        for seed in (1, 2)
    )
    new = {name for name, _weight in anatomy.head(first)}
    assert len(new) == 4
    for name, weight in first.state_dict().items():
        same = torch.equal(weight, second.state_dict()[name])
        assert same == (name not in new or name.endswith("bias")), name
    # The body is the file's, the head what a start from scratch with this seed draws as well.
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name
