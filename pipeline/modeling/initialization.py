"""How weights that nobody trained are drawn, and nothing else decides them.

Every weight has a generator of its own, from the seed and its name: the same seed gives the same
bytes, and another layer on top changes none below.

Fans are those of ``torch.nn.init``: a matrix [outputs, inputs] has ``fan_in`` inputs and
``fan_out`` outputs; embeddings [tokens, width] count as such a matrix, and matrices that are stored
as one (queries, keys and values of GPT-2 and ModernBERT) as one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy

if TYPE_CHECKING:
    from torch import Generator, Tensor

NODES = 200  # of the quadrature that finds gains
CUT = 2.0  # deviations at which a truncated normal ends, as BERT's


def draw(
    model: Any,
    knobs: Any,
    *,
    seed: int,
    activation: str = "linear",
    only: Collection[str] | None = None,
) -> None:
    """Draw the weights of ``model`` anew, in place.

    Biases are ``bias`` and weights of norms ``norm``; a padding token's vector is zero. Matrices
    are drawn by where they stand: embeddings, layers, or head.

    :param knobs: section ``init.weights``.
    :param activation: of the layers, for the gain of their matrices.
    :param only: names of weights that are new; all of them belong to the head. None draws all.
    """
    import torch

    parts = anatomy.parts(model)
    head = {name for name, _weight in anatomy.head(model)} if only is None else set(only)
    modules = dict(model.named_modules())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if only is not None and name not in head:
                continue
            owner, _, field = name.rpartition(".")
            if field.endswith("bias") or weight.ndim == 1:
                weight.fill_(knobs.bias if field.endswith("bias") else knobs.norm)
                continue
            if name in head:
                bends = "linear" if owner == parts.output else parts.bends
                how = knobs.head
            elif isinstance(modules[owner], torch.nn.Embedding):
                bends, how = "linear", knobs.embeddings
            else:
                bends, how = activation, knobs.layers
            weight.copy_(drawn(weight, modules[owner], how, bends, generator_of(seed, name)))
        blank_padding(model)


def drawn(weight: Tensor, module: Any, how: Any, bends: str, generator: Generator) -> Tensor:
    """Return new values in the shape of ``weight``; GPT-2 keeps its matrices [inputs, outputs]."""
    turned = type(module).__name__ == "Conv1D"
    rows, columns = reversed(weight.shape) if turned else weight.shape
    factor = gain(bends) if how.gain is None else how.gain
    values = SCHEMES[how.scheme]((rows, columns), how, factor, generator)
    return values.T if turned else values


def generator_of(seed: int, name: str) -> Generator:
    """Return the generator of one weight."""
    import torch

    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def blank_padding(model: Any) -> None:
    """Make the vectors of padding zero, in place."""
    import torch

    words = model.get_input_embeddings()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            # GPT-2 and T5 know which token pads, but their embeddings do not.
            row = model.config.pad_token_id if module is words else module.padding_idx
            if row is not None and row >= 0:
                module.weight[row] = 0.0


def gain(activation: str) -> float:
    """Return the factor that keeps the size of what passes ``activation``.

    ``torch.nn.init.calculate_gain`` where it knows the activation. For gelu and silu it is
    1 / √E[f(z)²] for a standard normal z, the condition from which He et al. 2015 (section 2.2)
    get relu's √2, here by Gauss-Hermite quadrature: 1.5335 for gelu, 1.6768 for silu.
    """
    import torch

    if activation in functions():
        return normal_gain(functions()[activation])
    return float(torch.nn.init.calculate_gain(activation))  # type: ignore[arg-type]


def functions() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the activations whose gain torch does not know."""
    from torch.nn import functional

    return {
        "gelu": functional.gelu,
        "gelu_tanh": lambda values: functional.gelu(values, approximate="tanh"),
        "silu": functional.silu,
    }


def normal_gain(function: Callable[[Tensor], Tensor]) -> float:
    """Return 1 / √E[f(z)²] for a standard normal z."""
    import numpy as np
    import torch

    places, shares = np.polynomial.hermite_e.hermegauss(NODES)
    values = function(torch.from_numpy(places)).numpy()
    return float(1 / math.sqrt((shares * values**2).sum() / shares.sum()))


Shape = tuple[int, int]


def empty(shape: Shape) -> Tensor:
    """Return a matrix, [outputs, inputs], to be filled."""
    import torch

    return torch.empty(shape, dtype=torch.float32)


def zeros(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return zeros."""
    return empty(shape).zero_()


def constant(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return ``value`` everywhere."""
    return empty(shape).fill_(how.value)


def normal(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws around zero with deviation ``std``."""
    from torch.nn import init

    return init.normal_(empty(shape), std=how.std, generator=generator)


def truncated_normal(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws of a normal with ``std``, those beyond two deviations drawn again.

    ``std`` is that of the normal before it is cut, as in BERT (and not corrected): what is left
    has a deviation of 0.8796 · ``std``.
    """
    from torch.nn import init

    end = CUT * how.std
    return init.trunc_normal_(empty(shape), std=how.std, a=-end, b=end, generator=generator)


def uniform(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws from -``bound`` to ``bound``: a deviation of ``bound`` / √3."""
    from torch.nn import init

    return init.uniform_(empty(shape), -how.bound, how.bound, generator=generator)


def xavier_uniform(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws within gain · √(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    from torch.nn import init

    return init.xavier_uniform_(empty(shape), gain=gain, generator=generator)


def xavier_normal(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws with deviation gain · √(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""
    from torch.nn import init

    return init.xavier_normal_(empty(shape), gain=gain, generator=generator)


def he_uniform(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws within gain · √(3 / fan_in) (He et al. 2015)."""
    from torch.nn import init

    end = gain * math.sqrt(3 / shape[1])
    return init.uniform_(empty(shape), -end, end, generator=generator)


def he_normal(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return draws with deviation gain / √fan_in (He et al. 2015)."""
    from torch.nn import init

    return init.normal_(empty(shape), std=gain / math.sqrt(shape[1]), generator=generator)


def orthogonal(shape: Shape, how: Any, gain: float, generator: Generator) -> Tensor:
    """Return gain · Q, whose rows or columns, the fewer, are orthonormal (Saxe et al. 2014)."""
    import torch
    from torch.nn import init

    # With several threads the decomposition sums in another order, hence to other last bits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return init.orthogonal_(empty(shape), gain=gain, generator=generator)
    finally:
        torch.set_num_threads(threads)


SCHEMES: dict[str, Callable[[Shape, Any, float, Generator], Tensor]] = {
    "zeros": zeros,
    "constant": constant,
    "normal": normal,
    "truncated_normal": truncated_normal,
    "uniform": uniform,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
    "orthogonal": orthogonal,
}
