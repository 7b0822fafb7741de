"""A short training with the answers of a teacher: for students, and for what was pruned.

A student learns from what the teacher answers to the texts of the training part and to altered
copies of them (Hinton, Vinyals and Dean 2015), and from the true labels. With logits z of the
student, v of the teacher, the temperature T and the teacher's share a, a text counts

============== ==============================================================
single label   ``a · T² · KL(softmax(v/T) ‖ softmax(z/T)) + (1 - a) · CE(z)``
several labels ``a · T² · BCE(sigmoid(v/T), sigmoid(z/T)) + (1 - a) · BCE(z)``
a number       ``a · (z - v)² + (1 - a) · (z - y)²``, standardized
============== ==============================================================

The second term is that of texts with a true label; altered copies have none. ``T²`` keeps the
gradients as large as they are without a temperature (the same, section 2).

The validation part chooses the best epoch.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _
from pipeline.modeling import anatomy, embeddings, lessons
from pipeline.modeling.lessons import Lesson
from pipeline.modeling.material import Scaling
from pipeline.progress import Progress
from pipeline.steps.targets import MULTI, REGRESSION

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from pipeline.modeling.variants.base import Context
    from pipeline.tasks.base import Task

PLAIN = SimpleNamespace(label_smoothing=0.0, focal_gamma=0.0, regression="squared")
OPTIMIZER = SimpleNamespace(kind="adamw", beta1=0.9, beta2=0.999, epsilon=1e-8)
SCHEDULE = SimpleNamespace(kind="linear", warmup_share=0.1, cycles=1)
WEIGHT_DECAY = 0.01
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Recipe:
    """How a student is trained."""

    maker: str
    epochs: int
    learning_rate: float
    batch_size: int
    temperature: float
    teacher_share: float
    seed: int
    keep_zeros: bool  # what is zero in the matrices of the layers stays so


def recovery(maker: str, context: Context) -> Recipe:
    """Return how a pruned model recovers: briefly, with the answers of the trained model."""
    knobs, taught = context.knobs.pruning, context.knobs.distillation
    return Recipe(
        maker=maker,
        epochs=knobs.epochs,
        learning_rate=knobs.learning_rate,
        batch_size=taught.batch_size,
        temperature=taught.temperature,
        teacher_share=taught.teacher_share,
        seed=context.seed,
        keep_zeros=True,
    )


def learn(model: PreTrainedModel, lesson: Lesson, recipe: Recipe) -> dict[str, Any]:
    """Train a model in place and return the report; it ends as its best epoch left it.

    Before the first epoch counts as one: a training that only harms changes nothing. The same seed,
    threads and machine give the same weights.

    :param model: in real units; so it ends.
    :raises ModelError: if the loss is not a number.
    """
    import torch

    from pipeline.modeling import material

    started = time.monotonic()
    torch.manual_seed(recipe.seed)
    course = Course.begin(model, lesson, recipe)
    main, best_epoch = lesson.task.main, 0
    best = course.figure()
    epochs: list[dict[str, float]] = [{"epoch": 0, main: best}]
    state: dict[str, Any] | None = None
    with Progress(recipe.maker, recipe.epochs * course.steps) as progress:
        for epoch in range(1, recipe.epochs + 1):
            loss = course.epoch(epoch, progress)
            reached = course.figure()
            epochs.append({"epoch": epoch, "loss": loss, main: reached})
            if reached > best:
                best_epoch, best, state = epoch, reached, course.state()
    if state is not None:
        model.load_state_dict(state)
        material.unstandardize(model, lesson.scaling)
    return {
        "texts": len(lesson.targets),
        "altered_copies": len(lesson.tokens) - len(lesson.targets),
        "part": "validation",
        "tuned_on_this_part": ["the best epoch"],
        "metric": main,
        "teacher": lesson.teacher_figure,
        "best_epoch": best_epoch,
        f"best_{main}": best,
        "epochs": epochs,
        "seconds": round(time.monotonic() - started, 1),
    }


@dataclass
class Course:
    """A copy of a model while it is trained."""

    learner: Any
    lesson: Lesson
    recipe: Recipe
    device: str
    precision: str
    optimizer: Any
    schedule: Any
    zeros: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)  # weight, mask

    @classmethod
    def begin(cls, model: PreTrainedModel, lesson: Lesson, recipe: Recipe) -> Course:
        """Return a course about to start."""
        from pipeline.modeling import optimizers, schedules, shortcuts, training

        learner: Any = copy.deepcopy(model)
        learner.get_input_embeddings().requires_grad_(False)
        standardize(learner, lesson.scaling)
        device = training.device("auto")
        if device == "cpu":
            shortcuts.drop_out_quickly(learner)
            shortcuts.read_first_only(learner)
        learner.to(device)
        knobs = SimpleNamespace(
            optimizer=OPTIMIZER, learning_rate=recipe.learning_rate, weight_decay=WEIGHT_DECAY,
            head_rate=1.0, layer_decay=1.0,
        )  # fmt: skip
        optimizer = optimizers.build(learner, knobs)
        steps = recipe.epochs * math.ceil(len(lesson.tokens) / recipe.batch_size)
        schedule = schedules.build(optimizer, SCHEDULE, steps=steps, greater_is_better=True)
        precision = training.precision("auto", cpu=device == "cpu")
        made = cls(learner, lesson, recipe, device, precision, optimizer, schedule)
        if recipe.keep_zeros:
            masks = [(one, one.detach() != 0) for one in matrices(learner)]
            made.zeros = [(one, mask) for one, mask in masks if not mask.all()]
        return made

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return math.ceil(len(self.lesson.tokens) / self.recipe.batch_size)

    def epoch(self, number: int, progress: Progress) -> float:
        """Train once over all texts and copies; return the mean loss."""
        self.learner.train()
        losses = []
        for at in self.batches(number):
            losses.append(self.step(at))
            progress.advance(epoch=number, loss=losses[-1])
        return sum(losses) / len(losses)

    def batches(self, epoch: int) -> Iterator[list[int]]:
        """Yield positions of texts of like length, in an order of the seed and the epoch."""
        from pipeline.modeling.sampling import GroupedByLength

        size = self.recipe.batch_size
        lengths = [len(one) for one in self.lesson.tokens]
        sampler = GroupedByLength(lengths, size, self.recipe.seed)
        sampler.set_epoch(epoch)
        order = list(sampler)
        yield from (order[at : at + size] for at in range(0, len(order), size))

    def step(self, at: Sequence[int]) -> float:
        """Learn from one batch; return its loss.

        :raises ModelError: if it is not a number.
        """
        import torch

        ids, seen = padded([self.lesson.tokens[one] for one in at], self.learner.config)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            answer = self.learner(
                input_ids=ids.to(self.device), attention_mask=seen.to(self.device)
            )
        loss = self.loss(answer.logits.float(), at)
        if not torch.isfinite(loss):
            raise diverged(self.recipe.maker)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for weight, mask in self.zeros:
                weight.mul_(mask)
        return float(loss.detach())

    def loss(self, logits: torch.Tensor, at: Sequence[int]) -> torch.Tensor:
        """Return the loss of a batch, a scalar.

        :param logits: [texts, outputs].
        :param at: the positions of the texts.
        """
        import torch

        task, share = self.lesson.task, self.recipe.teacher_share
        teacher = torch.from_numpy(self.lesson.teacher[list(at)]).to(self.device)
        loss = share * soft_loss(task, logits, teacher, self.recipe.temperature)
        own = [row for row, one in enumerate(at) if one < len(self.lesson.targets)]
        if own and share < 1:
            targets = torch.from_numpy(self.lesson.targets[[at[row] for row in own]])
            hard = task.loss(logits[own], targets.to(self.device), knobs=PLAIN)
            loss = loss + (1 - share) * hard * len(own) / len(at)
        return loss

    def figure(self) -> float:
        """Return the task's main figure on the validation part."""
        import numpy as np
        import torch

        tokens = self.lesson.judged
        logits = np.zeros((len(tokens), len(self.lesson.task.outputs)), dtype=np.float32)
        self.learner.eval()
        with torch.inference_mode():
            for at in embeddings.of_equal_length(tokens, lessons.READ_AT_ONCE):
                ids = torch.tensor([tokens[one] for one in at], device=self.device)
                answer = self.learner(input_ids=ids, attention_mask=torch.ones_like(ids))
                logits[at] = answer.logits.float().cpu().numpy()
        mean, deviation = self.lesson.scaling
        return lessons.figure(self.lesson.task, self.lesson.truth, logits * deviation + mean)

    def state(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights as they are now, on the CPU."""
        return {
            name: one.detach().to("cpu", copy=True)
            for name, one in self.learner.state_dict().items()
        }


def soft_loss(
    task: Task, logits: torch.Tensor, teacher: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return how far a student's answers are from its teacher's, a scalar; see the module.

    :param logits: of the student, [texts, outputs], as those of the teacher.
    """
    from torch.nn import functional

    if task.name == REGRESSION:
        return functional.mse_loss(logits, teacher)
    cool, wanted = logits / temperature, teacher / temperature
    if task.name == MULTI:
        loss = functional.binary_cross_entropy_with_logits(cool, wanted.sigmoid())
    else:
        loss = functional.kl_div(
            cool.log_softmax(dim=-1), wanted.log_softmax(dim=-1),
            reduction="batchmean", log_target=True,
        )  # fmt: skip
    return loss * temperature**2


def standardize(model: PreTrainedModel, scaling: Scaling) -> None:
    """Let a model of numbers answer in deviations from the mean: what unstandardize takes back."""
    import torch

    mean, deviation = scaling
    last = anatomy.output_layer(model)
    with torch.no_grad():
        last.weight.div_(deviation)
        if last.bias is not None:
            last.bias.sub_(mean).div_(deviation)


def matrices(model: PreTrainedModel) -> Iterator[torch.nn.Parameter]:
    """Yield the matrices of the layers: neither embeddings, head, biases nor norms."""
    for layer in anatomy.layers(model):
        for name, one in layer.named_parameters():
            if one.ndim > 1 and "bias" not in name:
                yield one


def padded(tokens: Sequence[Sequence[int]], config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens and attention mask, both int64 [texts, longest], padded on the right."""
    import torch

    longest, pad = max(map(len, tokens)), config.pad_token_id or 0
    ids = [[*one, *[pad] * (longest - len(one))] for one in tokens]
    seen = [[1] * len(one) + [0] * (longest - len(one)) for one in tokens]
    return torch.tensor(ids), torch.tensor(seen)


def diverged(maker: str) -> ModelError:
    """Return the error for a loss that is no number any more."""
    section = "distillation" if maker == "distilled" else "pruning"
    return ModelError.at(
        f"optimize, {maker}",
        found=_("a loss that is not a number"),
        allowed=_("a finite loss"),
        fix=_("Lower optimize.{section}.learning_rate.", section=section),
    )
