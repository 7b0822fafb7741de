"""Which model to start from, and how to train it: rules in the open, each with its reason.

Nothing here reads a file or looks at a machine: task, data and machine come in, and a ranked list
with words for every choice goes out. Rules are the ``rule_*`` functions; each gives points and says
why. A candidate that a rule excludes stays in the list, with the reason, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import Text
from pipeline.i18n import _
from pipeline.modeling import counting
from pipeline.modeling.counting import Estimate, Rates, Shape, Work
from pipeline.modeling.machine import Machine

FEW_A_LABEL = 30  # with fewer, contrastive first (SetFit, Tunstall et al. 2022, figure 1)
FEWEST_A_LABEL = 4  # with fewer there are no pairs to learn from
MANY_FOR_SCRATCH = 20_000  # records
ENOUGH_ROOM = 0.8  # of the memory; the rest belongs to the system and to what was not counted
LONG_SECONDS = 8 * 3_600.0  # a night
SLOW_SECONDS = 3_600.0
UNEVEN = 10.0  # most frequent label by rarest
LENGTHS_KEPT = 0.99  # share of texts that are not cut
SHORTEST_INPUT, LONGEST_INPUT = 16, 8_192
READING_TASKS = ("single_label", "multi_label", "regression")
EXCLUDED = float("-inf")
SIZES: tuple[tuple[float, Text], ...] = (
    (10e6, _("tiny")),
    (50e6, _("small")),
    (200e6, _("medium")),
    (float("inf"), _("large")),
)


@dataclass(frozen=True)
class Data:
    """What there is to learn from."""

    lengths: list[int]  # of the training texts, in tokens
    validation: list[int]
    languages: list[str]  # two letters each, the most frequent first
    labels: dict[str, int] = field(default_factory=dict)  # records a label; none for numbers

    @property
    def records(self) -> int:
        """Return the training records."""
        return len(self.lengths)

    @property
    def fewest(self) -> int | None:
        """Return the records of the rarest label, None where there are no labels."""
        return min(self.labels.values()) if self.labels else None

    @property
    def long(self) -> int:
        """Return the length that nearly all texts keep to."""
        ordered = sorted(self.lengths)
        return ordered[min(len(ordered) - 1, int(LENGTHS_KEPT * len(ordered)))]


@dataclass(frozen=True)
class Candidate:
    """One entry of the catalogue."""

    name: str
    family: str
    parameters: int
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    context: int | None
    languages: list[str]
    licence: str | None
    origin: dict[str, Any]
    strengths: dict[str, list[str]]
    weaknesses: dict[str, list[str]]

    @property
    def shape(self) -> Shape:
        """Return the sizes that decide what it costs."""
        tables = self.vocabulary * self.hidden
        return Shape(self.parameters, tables, self.layers, self.hidden, self.heads)

    @property
    def scratch(self) -> bool:
        """Return whether it starts from nothing."""
        return bool(self.origin["kind"] == "scratch")

    @property
    def size(self) -> Text:
        """Return its size class."""
        return next(name for limit, name in SIZES if self.parameters < limit)

    def reads(self, language: str) -> bool:
        """Return whether it knows a language."""
        return bool({"any", "many", language}.intersection(self.languages))


@dataclass(frozen=True)
class Choice:
    """A candidate as it would be trained here. ``points`` are minus infinity if it is excluded."""

    candidate: Candidate
    method: str
    contrastive: bool
    max_tokens: int
    points: float
    reasons: list[Text]
    estimate: Estimate
    fits: bool

    @property
    def excluded(self) -> bool:
        """Return whether a rule speaks against it for good."""
        return self.points == EXCLUDED


@dataclass(frozen=True)
class Plan:
    """What is recommended."""

    family: str
    why: list[Text]
    choices: list[Choice]  # the best first


Verdict = tuple[float, Text]


def recommend(
    task: str,
    data: Data,
    machine: Machine,
    catalogue: Sequence[Candidate],
    rates: Rates,
    *,
    epochs: int,
    batch_size: int,
    precision: str,
) -> Plan:
    """Return an architecture family and the candidates in order, each with its reasons.

    :param task: single_label, multi_label or regression; any other is taken to write texts.
    :param rates: speed, power and price of the machine.
    """
    max_tokens = longest_input(data)
    work = Work(
        lengths=[min(one, max_tokens) for one in data.lengths],
        validation=[min(one, max_tokens) for one in data.validation],
        epochs=epochs,
        batch_size=batch_size,
        precision=precision,
    )
    choices = [choose(one, task, data, machine, (work, rates)) for one in catalogue]
    choices.sort(key=lambda one: (-one.points, one.estimate.seconds, one.candidate.name))
    family, why = family_for(task)
    return Plan(family, why, choices)


def choose(
    candidate: Candidate,
    task: str,
    data: Data,
    machine: Machine,
    costs: tuple[Work, Rates],
) -> Choice:
    """Return how one candidate would be trained, and what speaks for and against it."""
    work, rates = costs
    limit = min(candidate.context or work.longest, longest_input(data))
    work = replace(
        work,
        lengths=[min(one, limit) for one in work.lengths],
        validation=[min(one, limit) for one in work.validation],
        freeze_embeddings=not candidate.scratch,
    )
    method, estimate, fits, reasons = method_for(candidate, data, machine, work, rates)
    warm = contrastive_first(candidate, task, data, method)
    if warm is not None:
        reasons.append(warm)
    verdicts = [
        *rule_language(candidate, data),
        *rule_family(candidate, task),
        *rule_scratch(candidate, data),
        *rule_length(candidate, data),
        *rule_origin(candidate),
        *rule_strength(candidate, data, machine),
        *rule_costs(estimate, fits),
    ]
    return Choice(
        candidate=candidate,
        method=method,
        contrastive=warm is not None,
        max_tokens=limit,
        points=sum(points for points, _why in verdicts),
        reasons=[why for _points, why in verdicts] + reasons,
        estimate=estimate,
        fits=fits,
    )


def family_for(task: str) -> tuple[str, list[Text]]:
    """Return the family that suits a task, and why."""
    if task in READING_TASKS:
        return "encoder", [
            _("Encoders read the whole text at once, in both directions; to choose labels or a "
              "number from a text they are best for their size."),
            _("Decoders read from left to right. They pay when a text has to be written, or when "
              "the model is large."),
            _("Encoder-decoders turn a text into another one; for labels half of them is idle."),
        ]  # fmt: skip
    return "decoder", [_("The task writes texts, which encoders cannot do.")]


def longest_input(data: Data) -> int:
    """Return ``init.max_tokens``: a multiple of 8 at which nearly no text is cut."""
    return min(LONGEST_INPUT, max(SHORTEST_INPUT, -(-data.long // 8) * 8))


def method_for(
    candidate: Candidate, data: Data, machine: Machine, work: Work, rates: Rates
) -> tuple[str, Estimate, bool, list[Text]]:
    """Return the method of training that fits memory and patience, its estimate, and why.

    Every weight is trained where that fits. Adapters need no gradients and moments of the weights
    that stay; a frozen encoder needs one layer's activations and reads each text once.
    """
    room = ENOUGH_ROOM * machine.room_bytes
    tried = {
        method: counting.counted(candidate.shape, replace(work, method=method), rates)
        for method in ("full", "lora", "frozen")
    }
    methods = ["full"] if candidate.scratch else list(tried)
    fitting = [name for name in methods if tried[name].peak_memory_bytes <= room]
    if not fitting:
        reason = _("needs more memory than there is, whatever the method")
        return methods[-1], tried[methods[-1]], False, [reason]
    method, reasons = fitting[0], [told(fitting[0])]
    if method != "frozen" and "frozen" in fitting and tried[method].seconds > LONG_SECONDS:
        method, reasons = "frozen", [_("frozen: training more than the head takes a night or more")]
    return method, tried[method], True, reasons


def told(method: str) -> Text:
    """Return why a method was taken."""
    return {
        "full": _("full: every weight fits into memory with its gradient"),
        "lora": _("lora: memory is too small for all gradients, so few weights are added"),
        "frozen": _("frozen: memory is too small for gradients of the encoder"),
    }[method]


def contrastive_first(candidate: Candidate, task: str, data: Data, method: str) -> Text | None:
    """Return why texts of one label are pulled together first; None where that does not help."""
    if data.fewest is None or candidate.scratch or method == "frozen" or task != "single_label":
        return None
    if not FEWEST_A_LABEL <= data.fewest < FEW_A_LABEL:
        return None
    return _(
        "contrastive first: the rarest label has {fewest} records, fewer than {limit}",
        fewest=data.fewest,
        limit=FEW_A_LABEL,
    )


def rule_language(candidate: Candidate, data: Data) -> Iterator[Verdict]:
    """A model has to know the language of the texts; one that knows few knows them better."""
    unknown = [one for one in data.languages if not candidate.reads(one)]
    if unknown:
        yield EXCLUDED, _("does not know {languages}", languages=", ".join(unknown))
    elif "many" in candidate.languages and len(data.languages) > 1:
        yield 3.0, _("knows all languages of the texts")
    elif "many" in candidate.languages:
        yield 1.0, _("knows the language, among a hundred others")
    elif "any" not in candidate.languages:
        yield 3.0, _("made for the language of the texts")


def rule_family(candidate: Candidate, task: str) -> Iterator[Verdict]:
    """Encoders read best; only decoders write."""
    if task in READING_TASKS:
        points = {"encoder": 2.0, "decoder": 0.0, "encoder_decoder": -1.0}[candidate.family]
        if points > 0:
            yield points, _("suits the task: reads the whole text at once")
        else:
            yield points, _("made for writing, which this task does not ask for")
    elif candidate.family == "encoder":
        yield EXCLUDED, _("cannot write texts")
    else:
        yield 2.0, _("suits the task: writes texts")


def rule_scratch(candidate: Candidate, data: Data) -> Iterator[Verdict]:
    """From nothing a model needs many records."""
    if not candidate.scratch:
        return
    if data.records >= MANY_FOR_SCRATCH:
        yield 2.0, _("{records} records are enough to learn from nothing", records=data.records)
    else:
        yield (
            -2.0,
            _(
                "{records} records are few to learn a language from; {many} or more are wanted",
                records=data.records,
                many=MANY_FOR_SCRATCH,
            ),
        )


def rule_length(candidate: Candidate, data: Data) -> Iterator[Verdict]:
    """Texts that are longer than the input are cut."""
    if candidate.context is not None and data.long > candidate.context:
        yield (
            -1.0,
            _(
                "cuts texts: they have up to {long} tokens, it reads {context}",
                long=data.long,
                context=candidate.context,
            ),
        )


def rule_origin(candidate: Candidate) -> Iterator[Verdict]:
    """What needs no hub can be had anywhere."""
    if candidate.origin["kind"] == "package":
        yield 1.0, _("comes from the package index, checked by its hash")
    elif candidate.origin["kind"] == "hub":
        yield 0.0, _("comes from the Hugging Face hub, at a commit that you name")


def rule_strength(candidate: Candidate, data: Data, machine: Machine) -> Iterator[Verdict]:
    """With many records, or a GPU, a larger pretrained model pays."""
    large = candidate.parameters >= 50e6
    if candidate.scratch or not large:
        return
    if machine.gpus:
        yield 1.5, _("a GPU makes its size affordable, and larger models are more exact")
    elif data.records >= MANY_FOR_SCRATCH:
        yield 0.5, _("so many records make use of its size")


def rule_costs(estimate: Estimate, fits: bool) -> Iterator[Verdict]:
    """Time is worth something, and what does not fit cannot be trained."""
    if not fits:
        yield EXCLUDED, _("does not fit into memory")
    elif estimate.seconds > LONG_SECONDS:
        yield -3.0, _("takes longer than a night here")
    elif estimate.seconds > SLOW_SECONDS:
        yield -1.0, _("takes more than an hour here")


def values(choice: Choice, data: Data) -> dict[str, Any]:
    """Return the values to set in ``params.yaml`` for a choice, by dotted name."""
    found: dict[str, Any] = {}
    origin = choice.candidate.origin
    if choice.candidate.scratch:
        found["init.method"] = "scratch"
        found["init.scratch.family"] = choice.candidate.family
        found["init.scratch.tokenizer.vocabulary"] = origin["vocabulary"]
        found |= {
            f"init.scratch.{name}": origin[name]
            for name in ("layers", "hidden", "heads", "intermediate")
        }
    else:
        found["init.method"] = "pretrained"
        found["init.pretrained"] = dict(origin)
        if origin["kind"] == "hub":
            found["init.pretrained"]["revision"] = _("<the commit you chose>")
    found["init.max_tokens"] = choice.max_tokens
    found["train.method"] = choice.method
    found["train.contrastive.enabled"] = choice.contrastive
    found |= {"train.epochs": 1} if choice.contrastive else {}
    found["train.learning_rate"] = learning_rate(choice)
    found["train.freeze_embeddings"] = not choice.candidate.scratch
    if data.labels:  # numbers have none
        uneven = max(data.labels.values()) >= UNEVEN * max(1, min(data.labels.values()))
        found["train.loss.class_weights"] = "sqrt" if uneven else "none"
    found["train.baselines.analyzer"] = "char_wb" if "zh" in data.languages else "word"
    return found


def learning_rate(choice: Choice) -> float:
    """Return a rate to begin with: what trains fewer weights, or smaller models, bears more."""
    if choice.contrastive or choice.method == "frozen":  # what pulled texts together stays
        return 1e-6 if choice.contrastive else 1e-3
    if choice.method == "lora" or choice.candidate.scratch:
        return 5e-4
    return 2e-4 if choice.candidate.parameters < 50e6 else 3e-5


def candidate_of(entry: Mapping[str, Any]) -> Candidate:
    """Return an entry of the catalogue.

    :raises TypeError: for a fact too many or too few.
    """
    return Candidate(**entry)
