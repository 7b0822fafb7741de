"""What a training run will take, before it begins: time, memory, energy, CO2 and money.

Operations are counted for batches of every size that the run will see, and ten steps on this
machine tell what they cost here. The run itself is left as it was: see ``probing``.

The estimate is of the training that is asked for. An early stop ends it sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import artifacts
from pipeline.modeling import counting, machine, measuring, probing
from pipeline.modeling.counting import Estimate, Rates, Shape, Work, compared

__all__ = ["Estimate", "compared", "foresee", "shape_of", "work_of"]

Example = dict[str, Any]
Seconds = Callable[[Sequence[probing.Batch]], float]
EPOCHS_LAID_OUT = 3  # all others are like these
READ_AT_ONCE = 2  # evaluation reads batches so many times as large
ROOM_USED = 0.9  # of free memory; a probe that needs more is not tried


def foresee(
    start: Path,
    files: Mapping[str, Path],
    knobs: Any,
    model: Any,
    examples: Mapping[str, Sequence[Example]],
) -> Estimate:
    """Return what training will take, from a probe of ten steps on a model of its own.

    Call it before the method prepares the model and before a ``Meter`` is started. Where a model
    does not fit into memory even by counting, nothing is tried and the count is returned.

    :param start: folder of the model that training starts from, with its card.
    :param files: records of ``train`` and ``validation``; ``examples`` are made of them.
    :param knobs: ``params.train``.
    :param model: as ``start`` holds it; it is not changed.
    :param examples: ``train`` and ``validation``, as ``training.encode`` gives them.
    """
    from pipeline.modeling import training

    device = training.device(knobs.device)
    precision = training.precision(knobs.precision, cpu=device == "cpu")
    shape, work = shape_of(model), work_of(examples, knobs, precision)
    if counting.memory(shape, work, device) > ROOM_USED * machine.look().room_bytes:
        return counting.counted(shape, work, rates(knobs, device, precision))
    with measuring.Meter(knobs.costs, device) as meter, probing.undisturbed():
        import torch

        torch.set_num_threads(knobs.threads or torch.get_num_threads())
        plan = Plan(examples, knobs)
        memory, began = measuring.Memory(device), time.perf_counter()
        probe = prepared(start, knobs, device, precision)
        loading = time.perf_counter() - began
        artifacts.WORK.mkdir(exist_ok=True)
        tried = probing.measure(probe, *plan.samples(), artifacts.WORK)
        del probe
        seconds_of = {
            # Loaded to be trained, and again to take in the best weights.
            "starting": counting.START_SECONDS + 2 * loading,
            **training_seconds(tried, plan, model, device),
        }
        peak = memory.peak()
    if device == "cpu":
        # The process holds a model already; the run has one of its own, and further libraries.
        peak += counting.LIBRARY_BYTES - model_bytes(model)
    return counting.priced(
        seconds_of,
        peak * knobs.launcher.processes,
        rates_of(meter.actual(), knobs, device),
        steps=plan.steps,
        how="probe",
        probe_seconds=meter.actual()["seconds"],
    )


class Plan:
    """Every batch of a run, in the sizes that it will have."""

    def __init__(self, examples: Mapping[str, Sequence[Example]], knobs: Any) -> None:
        self.examples, self.knobs = examples, knobs
        self.train_lengths = lengths(examples["train"])
        self.epochs = [cut(order, knobs.batch_size) for order in orders(self.train_lengths, knobs)]
        self.validation = cut(
            list(range(len(examples["validation"]))), READ_AT_ONCE * knobs.batch_size
        )

    def sizes(self) -> list[probing.Batch]:
        """Return texts and padded length of each batch of the epochs that are laid out."""
        return [padded(batch, self.train_lengths) for epoch in self.epochs for batch in epoch]

    def validation_sizes(self) -> list[probing.Batch]:
        """Return texts and padded length of each batch of one evaluation."""
        found = lengths(self.examples["validation"])
        return [padded(batch, found) for batch in self.validation]

    @property
    def repeats(self) -> float:
        """Return how often the epochs that are laid out pass."""
        epochs: int = self.knobs.epochs
        return epochs / len(self.epochs)

    @property
    def steps(self) -> int:
        """Return how often the weights change."""
        an_epoch: int = -(-len(self.epochs[0]) // self.knobs.accumulation)
        epochs: int = self.knobs.epochs
        return an_epoch * epochs

    @property
    def saves(self) -> int:
        """Return the checkpoints: one an epoch, and some within."""
        epochs: int = self.knobs.epochs
        within: int = self.steps // self.knobs.checkpoint_steps
        return epochs + within

    def samples(self) -> tuple[list[list[Example]], list[list[Example]]]:
        """Return the batches to learn from and those to read, the largest first."""
        batches = [batch for epoch in self.epochs for batch in epoch]
        train, validation = self.examples["train"], self.examples["validation"]
        learnt = [[train[at] for at in batches[place]] for place in probing.chosen(self.sizes())]
        read = [
            [validation[at] for at in self.validation[place]]
            for place in probing.chosen(self.validation_sizes(), (1.0, 0.5, 0.0, 1.0))
        ]
        if (
            self.knobs.contrastive.enabled
        ):  # its batches are larger: first for memory, then for time
            size = min(self.knobs.contrastive.batch_size, len(train))
            order = sorted(range(len(train)), key=lambda at: -self.train_lengths[at])
            spread = order[:: max(1, len(order) // size)][:size]
            learnt = [[train[at] for at in chosen] for chosen in (order[:size], spread)] + learnt
        if self.knobs.method != "frozen":
            return learnt, read
        groups = self.groups("train")
        sizes = [padded(group, self.train_lengths) for group in groups]
        return [], [[train[at] for at in groups[place]] for place in probing.chosen(sizes)]

    def groups(self, name: str) -> list[list[int]]:
        """Return the batches in which a frozen encoder reads a part: texts of one length."""
        from pipeline.modeling import embeddings

        tokens = [one["input_ids"] for one in self.examples[name]]
        return list(embeddings.of_equal_length(tokens, READ_AT_ONCE * self.knobs.batch_size))


def orders(found: Sequence[int], knobs: Any) -> Iterator[list[int]]:
    """Yield the order of records of each epoch that is laid out, as Trainer will take them."""
    from pipeline.modeling.sampling import GroupedByLength, Shuffled

    sampler: GroupedByLength | Shuffled = Shuffled(len(found), knobs.seed)
    if knobs.group_by_length:
        sampler = GroupedByLength(found, knobs.batch_size * knobs.accumulation, knobs.seed)
    for epoch in range(min(knobs.epochs, EPOCHS_LAID_OUT)):
        sampler.set_epoch(epoch)
        yield list(sampler)


def prepared(start: Path, knobs: Any, device: str, precision: str) -> probing.Probe:
    """Return a model of its own as the method trains it, with what a step needs."""
    from transformers import AutoTokenizer

    from pipeline.modeling import anatomy, material, methods, optimizers, shortcuts
    from pipeline.predictor import Card
    from pipeline.tasks import task as tasks

    card = Card.read(start)
    task = tasks.of(card.task, card.labels)
    copied = material.load(start, knobs)
    if knobs.method == "frozen":  # its encoder reads texts, which the probe does as well
        method, precision = methods.Method(knobs), "fp32"
        copied.requires_grad_(False)
        for _name, weight in anatomy.head(copied):
            weight.requires_grad_(True)
    else:
        method = methods.of(knobs)
        copied, _parts = method.prepare(copied, {"train": [], "validation": []}, start)
    if knobs.gradient_checkpointing:
        copied.gradient_checkpointing_enable({"use_reentrant": False})
    copied.to(device)
    if device == "cpu" and knobs.method != "frozen" and not knobs.compile:  # as fitting does
        shortcuts.drop_out_quickly(copied)
        shortcuts.read_first_only(copied)

    def loss(logits: Any, targets: Any) -> Any:
        value = task.loss(logits, targets, knobs=knobs.loss, weights=None)
        if knobs.l1 or knobs.l2:
            value = value + optimizers.penalty(copied, knobs.l1, knobs.l2)
        return value

    return probing.Probe(
        model=copied,
        optimizer=optimizers.build(copied, knobs),
        loss=loss,
        collate=method.collator(AutoTokenizer.from_pretrained(start)),
        knobs=knobs,
        device=device,
        precision=precision,
    )


def training_seconds(
    tried: probing.Findings, plan: Plan, model: Any, device: str
) -> dict[str, float]:
    """Return the seconds of each part of the training that the findings of a probe amount to."""
    knobs, read = plan.knobs, probing.fit(tried.reading)
    between = len(plan.epochs[0]) * knobs.epochs * counting.SECONDS_PER_STEP[device]
    saving = plan.saves * tried.saving_seconds
    if knobs.method == "frozen":
        return {"embedding": embedding_seconds(read, plan, model), "training": between,
                "checkpoints": saving}  # fmt: skip
    learn = probing.fit(tried.steps)
    update = float(np.mean([step.updating for step in tried.steps]))
    return {
        "training": plan.repeats * learn(plan.sizes()) + plan.steps * update + between,
        "evaluation": knobs.epochs * read(plan.validation_sizes()),
        "checkpoints": saving,
        **contrastive(learn, read, update, plan),
    }


def embedding_seconds(read: Seconds, plan: Plan, model: Any) -> float:
    """Return the seconds in which a frozen encoder reads what is not in its cache."""
    from pipeline.modeling import embeddings

    total = 0.0
    for name, examples in plan.examples.items():
        mark = embeddings.fingerprint(model, [one["input_ids"] for one in examples])
        if not (embeddings.CACHE / f"{mark}.safetensors").exists():
            found = lengths(examples)
            total += read([padded(group, found) for group in plan.groups(name)])
    return total


def contrastive(learn: Seconds, read: Seconds, update: float, plan: Plan) -> dict[str, float]:
    """Return the seconds of the first step for few records, where it is asked for.

    Its batches are drawn by label, not by length: the longest text of each decides. Afterwards all
    texts are read once, for the head to start with.
    """
    chosen, found = plan.knobs.contrastive, plan.train_lengths
    if not chosen.enabled:
        return {}
    texts = min(chosen.batch_size, len(found))
    batches = [
        (texts, int(np.random.default_rng(draw).choice(found, texts).max()))
        for draw in range(min(chosen.steps, 50))
    ]
    pulling = chosen.steps * (learn(batches) / len(batches) + update)
    return {"contrastive": pulling + read([(1, length) for length in found])}


def rates(knobs: Any, device: str, precision: str) -> Rates:
    """Return the speed and the power of this machine, measured in a second."""
    with measuring.Meter(knobs.costs, device) as meter:
        speed = machine.speed(device, precision, threads=knobs.threads)
    return rates_of(meter.actual(), knobs, device, speed)


def rates_of(spent: Mapping[str, Any], knobs: Any, device: str, speed: float = 0.0) -> Rates:
    """Return power, CO2 and price of this machine from what a piece of work took."""
    return Rates(
        device,
        speed,
        watts=per(spent["kwh"], spent["seconds"] / 3_600_000),
        co2_kg_per_kwh=per(spent["co2_kg"], spent["kwh"]),
        price_per_hour=knobs.costs.price_per_hour,
        currency=knobs.costs.currency,
    )


def per(value: float | None, of: float | None) -> float | None:
    """Return a ratio, None where either is unknown or nothing."""
    return value / of if value is not None and of else None


def shape_of(model: Any) -> Shape:
    """Return the sizes of a model that is loaded."""
    from pipeline.modeling import anatomy

    config = model.config
    tables = {id(one): one.numel() for part in anatomy.embeddings(model)
              for one in part.parameters() if one.ndim > 1}  # fmt: skip
    return Shape(
        parameters=sum(one.numel() for one in model.parameters()),
        embeddings=sum(tables.values()),
        layers=len(anatomy.layers(model)),
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
    )


def work_of(examples: Mapping[str, Sequence[Example]], knobs: Any, precision: str) -> Work:
    """Return what ``params.train`` asks for on these examples."""
    return Work(
        lengths=lengths(examples["train"]),
        validation=lengths(examples["validation"]),
        epochs=knobs.epochs,
        batch_size=knobs.batch_size,
        method=knobs.method,
        optimizer=knobs.optimizer.kind,
        momentum=knobs.optimizer.momentum,
        precision=precision,
        rank=knobs.lora.rank,
        accumulation=knobs.accumulation,
        freeze_embeddings=knobs.freeze_embeddings,
        gradient_checkpointing=knobs.gradient_checkpointing,
        checkpoint_steps=knobs.checkpoint_steps,
    )


def lengths(examples: Sequence[Example]) -> list[int]:
    """Return the tokens of each example; a model reads at least one."""
    return [max(1, len(one["input_ids"])) for one in examples]


def cut(order: list[int], size: int) -> list[list[int]]:
    """Return positions in batches."""
    return [order[at : at + size] for at in range(0, len(order), size)]


def padded(batch: Sequence[int], found: Sequence[int]) -> probing.Batch:
    """Return the texts of a batch and the length that all are padded to."""
    return len(batch), max(found[at] for at in batch)


def model_bytes(model: Any) -> int:
    """Return the bytes of a model's weights."""
    return sum(one.numel() * one.element_size() for one in model.parameters())
