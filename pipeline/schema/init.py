"""Section ``init``: the model that training starts from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import LARGEST_SEED, Section, between, contradiction, knob, one_of
from pipeline.schema.origin import FolderOrigin, HubOrigin, PackageOrigin

Origin = Annotated[PackageOrigin | FolderOrigin | HubOrigin, Field(discriminator="kind")]
POSITIONS = {
    "encoder": ("learned", "rotary"),
    "decoder": ("learned", "rotary"),
    "encoder_decoder": ("learned", "relative"),
}


class Tokenizer(Section):
    """How texts are taken apart, learnt from the training part."""

    algorithm: Literal["wordpiece", "bpe", "unigram"] = knob(
        "Algorithm",
        "wordpiece: BERT's; bpe: byte pairs, knows every character; unigram: the likeliest pieces, "
        "good for languages without spaces.",
        search=one_of("wordpiece", "bpe", "unigram"),
    )
    vocabulary: int = knob(
        "Vocabulary",
        "Pieces of words, learnt from the training part. More reads better and weighs more.",
        unit="tokens", ge=64, le=200_000, search=between(1_000, 30_000, log=True),
    )  # fmt: skip
    min_frequency: int = knob(
        "Fewest occurrences", "Rarer pieces are not learnt.",
        unit="occurrences", level="advanced", ge=1, le=1_000,
    )  # fmt: skip
    lowercase: bool = knob("Small letters", "Reads capital letters as small ones.")


class Scratch(Section):
    """A model that starts from nothing, used when method is scratch."""

    family: Literal["encoder", "decoder", "encoder_decoder"] = knob(
        "Family",
        "encoder reads the whole text at once and suits classification; decoder reads from left to "
        "right; encoder_decoder reads first and answers then.",
    )
    tokenizer: Tokenizer = knob("Tokens", "How texts are taken apart.")
    layers: int = knob(
        "Layers", "More learn more and take longer.",
        unit="layers", ge=1, le=48, search=between(1, 8),
    )  # fmt: skip
    hidden: int = knob(
        "Width", "Numbers that stand for one token; a multiple of heads.",
        ge=16, le=4096, search=one_of(64, 128, 256, 384),
    )  # fmt: skip
    heads: int = knob("Attention heads", "Ways to look at the text at once.", ge=1, le=64)
    intermediate: int = knob(
        "Inner width", "Of the feed-forward part; usually 4 times the width.",
        ge=16, le=16_384, search=one_of(256, 512, 1024, 1536),
    )  # fmt: skip
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = knob(
        "Activation",
        "What bends the feed-forward part: gelu is usual, relu is cheapest.",
        level="advanced",
        search=one_of("gelu", "gelu_tanh", "relu", "silu"),
    )
    positions: Literal["learned", "rotary", "relative"] = knob(
        "Positions",
        "How the order of tokens is known: learned: a vector a place; rotary: by turning (encoder, "
        "decoder); relative: by distance (encoder_decoder).",
        level="advanced",
    )
    dropout: float = knob(
        "Dropout", "Share switched off while training, against learning by heart.",
        unit="share", ge=0.0, le=0.9, search=between(0.0, 0.5),
    )  # fmt: skip

    @model_validator(mode="after")
    def sizes_fit(self) -> Scratch:
        """Each head gets an equal slice of the width, and turning needs pairs."""
        if self.hidden % self.heads:
            raise contradiction("hidden that is not a multiple of heads")
        if self.positions not in POSITIONS[self.family]:
            raise contradiction(
                "positions {found}, which the family {family} does not have ({allowed})",
                found=self.positions,
                family=self.family,
                allowed=", ".join(POSITIONS[self.family]),
            )
        # transformers 5.5.4 wants layers that see all and layers that see a window.
        if (self.family, self.positions, self.layers) == ("encoder", "rotary", 1):
            raise contradiction("an encoder with rotary positions and a single layer")
        if self.positions == "rotary" and (self.hidden // self.heads) % 2:
            raise contradiction("rotary positions with an odd width of a head")
        return self


class Draw(Section):
    """How one kind of weights is drawn before training."""

    scheme: Literal[
        "zeros", "constant", "normal", "truncated_normal", "uniform", "xavier_uniform",
        "xavier_normal", "he_uniform", "he_normal", "orthogonal",
    ] = knob(
        "Scheme",
        "xavier suits gelu and tanh, he suits relu, orthogonal deep models; truncated_normal is "
        "BERT's.",
        search=one_of("normal", "truncated_normal", "xavier_uniform", "he_normal", "orthogonal"),
    )  # fmt: skip
    value: float = knob("Value", "constant: every weight.", level="advanced", ge=-10, le=10)
    std: float = knob(
        "Deviation",
        "normal, and truncated_normal before it is cut at two deviations: standard deviation.",
        gt=0, le=10, search=between(0.005, 0.1, log=True),
    )  # fmt: skip
    bound: float = knob("Bound", "uniform: from minus this to this.", level="advanced", gt=0, le=10)
    gain: float | None = knob(
        "Gain",
        "xavier, he and orthogonal: factor of the deviation; null takes the one of the layers' "
        "activation, and 1 for embeddings and the output layer.",
        level="advanced", gt=0, le=100,
    )  # fmt: skip


class Weights(Section):
    """How weights are drawn: all of them from scratch, else those of the new head only."""

    embeddings: Draw = knob("Embeddings", "Vectors of tokens and places; from scratch only.")
    layers: Draw = knob("Layers", "Matrices of the layers; from scratch only.")
    head: Draw = knob("Head", "The matrix from text to labels; always new.")
    bias: float = knob("Bias", "Every bias starts here.", level="advanced", ge=-10, le=10)
    norm: float = knob(
        "Norm", "Every weight of a layer norm starts here.", level="advanced", gt=0, le=10
    )


class Init(Section):
    """Where training starts."""

    method: Literal["pretrained", "scratch"] = knob(
        "Start from",
        "pretrained needs few records; scratch learns everything, its tokens too, from yours.",
    )
    pretrained: Origin = knob("Pretrained model", "Used when method is pretrained.")
    scratch: Scratch = knob("From scratch", "Used when method is scratch.")
    weights: Weights = knob("Drawn weights", "How weights that nobody trained are drawn.")
    max_tokens: int = knob(
        "Longest input",
        "Longer texts are cut. Time grows with it, memory more so.",
        unit="tokens", ge=8, le=8_192,
    )  # fmt: skip
    seed: int = knob(
        "Seed", "For every weight that is drawn.", level="advanced", ge=0, le=LARGEST_SEED
    )
