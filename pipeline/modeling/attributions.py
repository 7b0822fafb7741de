"""Which words decided: integrated gradients from a text without its words to the text.

Each word's vector is faded in, from that of padding to its own, all of them together, while what
every text has (signs, places) stays. The gradient of the logit along this way, added up by captum,
tells what each word gave to it (Sundararajan, Taly, Yan 2017). These shares are complete: they add
up to the logit of the text less that of the text without its words, but for an error of the
numerical integral, which is told beside.

One number a token is integrated, not one an element of its vector: by the chain rule this is what
captum's LayerIntegratedGradients gives, summed over the vector. So it holds for every family,
encoders with decoders among them, which look a token up twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.modeling import anatomy
from pipeline.modeling.predictor import TorchPredictor
from pipeline.progress import Progress
from pipeline.steps.wording import TOKEN

if TYPE_CHECKING:
    import torch

    from pipeline.predictor import BasePredictor, Calibrated

Span = tuple[int, int]

TOKENS_AT_ONCE = 1_024  # bounds memory: every layer's states are kept for the gradient
# Where a model normalizes word vectors first (LLaMA, ModernBERT), their length does not matter, and
# nearly all happens right behind nothing. Steps are close together there when a share is a power of
# what is integrated; the integral stays the same.
POWER = 2
EXACT = 0.01  # the largest error of a sum, as a share of the difference or, below 1, in logits
SPLITS = 12  # of the way, as long as the error is larger
FEWEST = 8  # steps on any part of the way


class Explained(list[tuple[str, float]]):
    """Words of a text, in their order, with what each gave to the logit.

    :ivar difference: the logit less that of the text without its words.
    :ivar delta: the sum over the words less ``difference``: how far the integral is off.
    """

    def __init__(self, words: Iterable[tuple[str, float]] = (), *, difference: float = 0.0) -> None:
        super().__init__(words)
        self.difference = difference

    @property
    def delta(self) -> float:
        """Return how far the sum over the words is from ``difference``."""
        return sum(value for _word, value in self) - self.difference


@dataclass(frozen=True)
class Reading:
    """A text as the model reads it."""

    text: str  # normalized and masked
    ids: list[int]
    spans: list[Span]  # each token's place in the text
    signs: list[bool]  # whether a token stands for no text, such as [CLS]


def explain(
    folder: Path,
    texts: Sequence[str],
    targets: Sequence[int],
    *,
    steps: int,
    fitted: Calibrated | None = None,
) -> list[Explained]:
    """Return what each word of each text gave to one logit, divided by the model's temperature.

    Words are those of the normalized text, Chinese ones character by character; what a token holds
    together stays together, and what the model did not read (``max_tokens``) is left out.

    :param folder: of a saved model, as training writes it.
    :param targets: the output that is explained, for each text.
    :param steps: of the integral; more are taken where it is not ``EXACT``, thirteen times as many
        at most.
    :raises ModelError: for a kind of model that nobody took apart yet.
    """
    predictor = TorchPredictor.load(folder, fitted)
    predictor.model.requires_grad_(False)
    fading = Fading(predictor)
    found = []
    with Progress("attributions", len(texts)) as progress:
        for text, target in zip(texts, targets, strict=True):
            found.append(attributed(fading, read(predictor, text), target, steps))
            progress.advance()
    return found


def read(predictor: BasePredictor, text: str) -> Reading:
    """Return a text as ``predictor`` reads it."""
    clean = predictor.clean(text)
    found = predictor.tokenizer.encode(clean)
    return Reading(
        clean, found.ids, found.offsets, [bool(one) for one in found.special_tokens_mask]
    )


def attributed(fading: Fading, reading: Reading, target: int, steps: int) -> Explained:
    """Return what each word of one text gave to the logit of ``target``."""
    if all(reading.signs):
        return Explained()
    by_token, difference = fading.attributions(reading, target, steps)
    content = [at for at, sign in enumerate(reading.signs) if not sign]
    spans, belongs = words_of(reading.text, [reading.spans[at] for at in content])
    values: dict[int, float] = {}
    for at, word in zip(content, belongs, strict=True):
        values[word] = values.get(word, 0.0) + by_token[at]
    named = ((reading.text[slice(*spans[word])], values[word]) for word in sorted(values))
    return Explained(named, difference=difference)


@dataclass(frozen=True, eq=False)
class Stretch:
    """A part of the way from a text without its words to the text."""

    between: tuple[float, float]  # levels, 0 to 1
    by_token: list[float]  # what each token gave here
    difference: float  # of the logits at both ends: what they should add up to

    @property
    def off(self) -> float:
        """Return how far the sum is off."""
        return abs(sum(self.by_token) - self.difference)


class Fading:
    """A model whose word vectors can be faded from that of padding to their own."""

    def __init__(self, predictor: TorchPredictor) -> None:
        self.model, self.temperature = predictor.model, predictor.card.temperature
        self.blank = self.model.config.pad_token_id
        self.lookups = lookups(self.model)

    def attributions(self, reading: Reading, target: int, steps: int) -> tuple[list[float], float]:
        """Return what each token gave, and what all of them should add up to.

        As long as the sum is off, the stretch of the way that is most off is halved: its ends are
        known, so its own sum is too. A kink costs steps where it is, not all along the way.
        """
        whole = self.stretch(reading, target, (0.0, 1.0), steps)
        done, exact = [whole], EXACT * max(1.0, abs(whole.difference))
        for _split in range(SPLITS):
            if sum(one.off for one in done) <= exact:
                break
            worst = max(done, key=lambda one: one.off)
            done.remove(worst)
            low, high = worst.between
            middle = (low + high) / 2
            for half in ((low, middle), (middle, high)):
                done.append(self.stretch(reading, target, half, max(FEWEST, steps // 2)))
        by_token = [sum(values) for values in zip(*(one.by_token for one in done), strict=True)]
        return by_token, whole.difference

    def stretch(
        self, reading: Reading, target: int, between: tuple[float, float], steps: int
    ) -> Stretch:
        """Return what each token gave on a part of the way."""
        import torch
        from captum.attr import IntegratedGradients  # type: ignore[import-untyped]

        ids = torch.tensor([reading.ids])
        signs = torch.tensor([reading.signs])  # they stay: 1 at both ends
        start, end = (torch.full(ids.shape, level).masked_fill(signs, 1.0) for level in between)
        found = IntegratedGradients(self.logits).attribute(
            end,
            baselines=start,
            target=target,
            additional_forward_args=(ids,),
            n_steps=steps,
            internal_batch_size=max(1, TOKENS_AT_ONCE // ids.shape[1]),
        )
        with torch.inference_mode():
            ends = self.logits(torch.cat([end, start]), ids.expand(2, -1))[:, target]
        return Stretch(between, found[0].tolist(), float(ends[0] - ends[1]))

    def logits(self, levels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return logits of texts whose words are there in part, divided by the temperature.

        :param levels: 0 (padding's vector) to 1 (the word's), [texts, tokens].
        :param ids: tokens, [texts, tokens], without padding.
        """
        import torch

        with self.faded(levels**POWER, ids):
            answer = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
        logits: torch.Tensor = answer.logits / self.temperature
        return logits

    @contextmanager
    def faded(self, shares: torch.Tensor, ids: torch.Tensor) -> Iterator[None]:
        """Let every look-up of a token return its vector in part only."""
        import torch

        def fade(module: Any, given: tuple[torch.Tensor, ...], vectors: torch.Tensor) -> Any:
            asked = given[0]
            here = shares if torch.equal(asked, ids) else behind(shares)
            nothing = vectors.new_zeros(())
            if self.blank is not None:
                nothing = module.forward(torch.full_like(asked, self.blank))
            return torch.lerp(nothing.expand_as(vectors), vectors, here[..., None])

        hooks = [module.register_forward_hook(fade) for module in self.lookups]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def lookups(model: Any) -> list[Any]:
    """Return the modules that turn tokens into vectors; a decoder may have its own."""
    from torch import nn

    words = model.get_input_embeddings().weight
    inner = [module for part in anatomy.embeddings(model) for module in part.modules()]
    found = [one for one in inner if isinstance(one, nn.Embedding) and one.weight is words]
    return list({id(one): one for one in found}.values())


def behind(shares: torch.Tensor) -> torch.Tensor:
    """Return the shares of what a decoder reads: a sign to start from, then all but the last."""
    import torch

    return torch.cat([torch.ones_like(shares[:, :1]), shares[:, :-1]], dim=1)


def words_of(text: str, spans: Sequence[Span]) -> tuple[list[Span], list[int]]:
    """Return the places of the words, and for each token the word that it belongs to.

    A token that reaches over several words makes one of them; one that holds nothing but space
    belongs to the next.

    :param spans: the places of the tokens, each from its first character to behind its last.
    """
    found = pieces(text) or [(0, len(text))]
    starts, ends = [start for start, _end in found], [end for _start, end in found]
    joined: set[int] = set()
    first = []
    for start, end in spans:
        begin = min(bisect_right(ends, start), len(found) - 1)
        joined.update(range(begin + 1, bisect_left(starts, end)))
        first.append(begin)
    at_word = [0, *accumulate(int(at not in joined) for at in range(1, len(found)))]
    words: dict[int, Span] = {}
    for word, (start, end) in zip(at_word, found, strict=True):
        words[word] = (words.get(word, (start, end))[0], end)
    return list(words.values()), [at_word[one] for one in first]


def pieces(text: str) -> list[Span]:
    """Return the places of words, single Chinese characters and marks."""
    found: list[Span] = []
    for match in TOKEN.finditer(text):
        if match.lastgroup == "han":
            found += [(at, at + 1) for at in range(match.start(), match.end())]
        elif match.lastgroup != "space":
            found.append(match.span())
    return found
