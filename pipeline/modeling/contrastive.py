"""Pull texts of one label together before the head is trained, for very few records a label.

Every step compares all pairs of a batch, where SetFit (Tunstall et al. 2022) takes one pair at a
time: with few records a handful of steps sees what it sees in hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import embeddings, frozen
from pipeline.progress import Progress

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Example = dict[str, Any]

RISING = 0.1  # share of the steps in which the learning rate rises
LONGEST_GRADIENT = 1.0
BATCH = 64  # texts whose states are computed at once
HEAD_STEPS, HEAD_RATE = 200, 1e-3


def warm_up(
    model: PreTrainedModel,
    examples: Sequence[Example],
    knobs: Any,
    seed: int,
    collate: Callable[[Any], dict[str, Any]],
) -> None:
    """Change the encoder in place so that texts with a label in common lie close together.

    :param examples: the training part, encoded; labels are positions or lists of 0 and 1.
    :param knobs: section ``train.contrastive``.
    :param collate: makes a padded batch of examples.
    :raises ModelError: for numbers, of which no two belong together.
    """
    import numpy as np
    import torch

    labels = targets(examples)
    weights = [one for one in model.base_model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=knobs.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: pace(at, knobs.steps))
    kind, training = model.device.type, model.training
    model.train()
    with torch.random.fork_rng(), Progress("contrastive", knobs.steps) as progress:
        torch.manual_seed(seed)
        for at in batches(len(examples), knobs, np.random.default_rng(seed)):
            batch = collate([examples[one] for one in at])
            batch = {name: value.to(model.device) for name, value in batch.items()}
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
                states = embeddings.of_batch(model, batch)
            loss = supervised(states.float(), labels[at].to(states.device), knobs.temperature)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            progress.advance(loss=float(loss.detach()))
    model.zero_grad()
    model.train(training)
    start_head(model, examples, seed)


def start_head(model: PreTrainedModel, examples: Sequence[Example], seed: int) -> None:
    """Train the head alone on the states of all texts at once: too few to do so in an epoch.

    With batches of 32 texts a hundred records are three steps an epoch; the head starts at random.
    """
    import torch

    tokens = [one["input_ids"] for one in examples]
    states = embeddings.compute(model, tokens, BATCH)["head"]
    batch = frozen.stack(frozen.with_states(model, examples, states))
    batch = {name: value.to(model.device) for name, value in batch.items()}
    changing, training = [one for one in model.parameters() if one.requires_grad], model.training
    frozen.bypass(model)
    head = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(head, lr=HEAD_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: pace(at, HEAD_STEPS))
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _step in range(HEAD_STEPS):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            optimizer.step()
            schedule.step()
    model.zero_grad()
    frozen.rejoin(model)
    model.requires_grad_(False)
    for one in changing:
        one.requires_grad_(True)
    model.train(training)


def targets(examples: Sequence[Example]) -> torch.Tensor:
    """Return the labels as 0 and 1, [n, labels].

    :raises ModelError: if they are numbers of a regression.
    """
    import torch

    labels = torch.tensor([one["labels"] for one in examples])
    if labels.ndim == 1 and labels.is_floating_point():
        raise ModelError.at(
            "params.yaml, train.contrastive.enabled",
            found=_("true, with the task regression"),
            allowed=_("true with labels only: two numbers never belong together"),
            fix=_("Set it to false."),
        )
    if labels.ndim == 1:
        return torch.nn.functional.one_hot(labels).float()
    return labels.float()


def batches(records: int, knobs: Any, random: Any) -> Iterator[list[int]]:
    """Yield ``knobs.steps`` batches of positions; each record comes once before any comes again."""
    order: list[int] = []
    size = min(knobs.batch_size, records)
    for _step in range(knobs.steps):
        if len(order) < size:
            # What is left goes last in the next round, so that no batch holds a record twice.
            left, drawn = set(order), random.permutation(records).tolist()
            order += sorted(drawn, key=lambda at: at in left)
        yield order[:size]
        order = order[size:]


def supervised(states: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the supervised contrastive loss (Khosla et al. 2020, equation 2), a scalar.

    For text i the mean over its positives p of -log(exp(z_i·z_p/t) / sum over a ≠ i of
    exp(z_i·z_a/t)), where z has length 1; then the mean over all texts that have a positive.

    :param states: [n, hidden].
    :param labels: 0 and 1, [n, labels]; two texts with one in common are positives.
    """
    import torch

    unit = torch.nn.functional.normalize(states, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    scores = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf)
    logs = scores - scores.logsumexp(dim=1, keepdim=True)
    positive = (labels @ labels.T > 0) & ~itself
    partners = positive.sum(dim=1)
    sums = logs.masked_fill(~positive, 0.0).sum(dim=1)
    some = partners > 0
    if not some.any():
        return unit.sum() * 0.0  # nobody has a partner in this batch: nothing to learn from it
    return -(sums[some] / partners[some]).mean()


def pace(at: int, steps: int) -> float:
    """Return the share of the learning rate at a step: rises, then falls to zero in a line."""
    rising = max(1, round(RISING * steps))
    return min((at + 1) / rising, (steps - at) / max(1, steps - rising))
