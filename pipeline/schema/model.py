"""Sections ``init`` and ``train``: where training starts and how it goes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob
from pipeline.schema.origin import FolderOrigin, HubOrigin, PackageOrigin

LARGEST_SEED = 2**31 - 1
Origin = Annotated[PackageOrigin | FolderOrigin | HubOrigin, Field(discriminator="kind")]


class Scratch(Section):
    """Sizes of a model that starts from nothing, used when method is scratch."""

    vocabulary: int = knob(
        "Vocabulary",
        "Word pieces, learnt from the training part. More reads better and weighs more.",
        unit="tokens", ge=64, le=200_000,
    )  # fmt: skip
    layers: int = knob("Layers", "More learn more and take longer.", unit="layers", ge=1, le=48)
    hidden: int = knob(
        "Width", "Numbers that stand for one token; a multiple of heads.", ge=16, le=4096
    )
    heads: int = knob("Attention heads", "Ways to look at the text at once.", ge=1, le=64)
    intermediate: int = knob(
        "Inner width", "Of the feed-forward part; usually 4 times the width.", ge=16, le=16_384
    )
    dropout: float = knob(
        "Dropout", "Share switched off while training, against learning by heart.",
        unit="share", ge=0.0, le=0.9,
    )  # fmt: skip

    @model_validator(mode="after")
    def heads_divide_width(self) -> Scratch:
        """Each head gets an equal slice of the width."""
        if self.hidden % self.heads:
            raise contradiction("hidden that is not a multiple of heads")
        return self


class Init(Section):
    """Where training starts."""

    method: Literal["pretrained", "scratch"] = knob(
        "Start from",
        "pretrained needs few records; scratch learns everything, its tokens too, from yours.",
    )
    pretrained: Origin = knob("Pretrained model", "Used when method is pretrained.")
    scratch: Scratch = knob("From scratch", "Used when method is scratch.")
    max_tokens: int = knob(
        "Longest input",
        "Longer texts are cut. Time grows with it, memory more so.",
        unit="tokens", ge=8, le=8_192,
    )  # fmt: skip
    seed: int = knob(
        "Seed", "For every weight that is drawn.", level="advanced", ge=0, le=LARGEST_SEED
    )


class Baseline(Section):
    """The cheap model beside the large one: TF-IDF and a linear classifier."""

    classifier: Literal["linear_svc", "logistic_regression"] = knob(
        "Classifier",
        "linear_svc is as good and ten times as fast; logistic_regression is smoother.",
    )
    analyzer: Literal["word", "char_wb"] = knob(
        "Features", "word for languages with spaces, char_wb for Chinese and for typing errors."
    )
    longest: int = knob("Longest n-gram", "Words or characters in a row.", ge=1, le=8)
    max_features: int = knob(
        "Features at most", "The most frequent are kept.", unit="features", ge=100, le=5_000_000
    )


class Train(Section):
    """How training goes."""

    epochs: int = knob(
        "Epochs", "Passes over the training part; time grows with it.", ge=1, le=1_000
    )
    batch_size: int = knob(
        "Batch size",
        "Texts per step: higher is smoother and needs more memory.",
        unit="texts", ge=1, le=4_096,
    )  # fmt: skip
    learning_rate: float = knob(
        "Learning rate",
        "Size of a step: too high diverges, too low never arrives. 1e-5 to 5e-4 when pretrained.",
        gt=0.0, le=1.0,
    )  # fmt: skip
    schedule: Literal["linear", "cosine", "constant"] = knob(
        "Schedule", "How the learning rate falls after the warm-up."
    )
    warmup_share: float = knob(
        "Warm-up", "Share of all steps in which the learning rate rises.",
        unit="share", ge=0.0, le=0.9,
    )  # fmt: skip
    label_smoothing: float = knob(
        "Label smoothing",
        "Share of certainty taken from the label, against believing wrong labels; 0 turns it off.",
        unit="share",
        ge=0.0,
        le=0.5,
    )
    head_rate: float = knob(
        "Head learns faster",
        "Learning rate of the new head as a multiple of the rest's, which is trained already.",
        level="advanced",
        ge=0.1,
        le=100.0,
    )
    weight_decay: float = knob(
        "Weight decay", "Pulls weights towards zero, against learning by heart.",
        level="advanced", ge=0.0, le=1.0,
    )  # fmt: skip
    max_gradient_norm: float = knob(
        "Gradient clipping", "Longer gradients are shortened to this; 0 turns it off.",
        level="advanced", ge=0.0, le=1_000.0,
    )  # fmt: skip
    freeze_embeddings: bool = knob(
        "Keep the word vectors",
        "Leaves a pretrained model's word vectors as they are: a quarter faster, hardly a loss.",
        level="advanced",
    )
    metric: Literal["macro_f1", "accuracy", "loss"] = knob(
        "Best by", "The figure on the validation part by which the best epoch is chosen."
    )
    patience: int = knob(
        "Patience", "Stops after so many epochs without a better one; 0 never stops early.",
        unit="epochs", ge=0, le=100,
    )  # fmt: skip
    precision: Literal["auto", "fp32", "bf16"] = knob(
        "Precision", "auto takes bf16 where the processor has it: twice as fast, hardly a loss.",
        level="advanced",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = knob(
        "Device", "auto takes a GPU when there is one.", level="advanced"
    )
    threads: int = knob(
        "Threads", "Processor threads; 0 takes all. 1 repeats to the bit.",
        level="advanced", ge=0, le=1_024,
    )  # fmt: skip
    checkpoint_steps: int = knob(
        "Checkpoint every", "At most so much work is lost when the machine stops.",
        unit="steps", level="advanced", ge=1, le=1_000_000,
    )  # fmt: skip
    seed: int = knob(
        "Seed", "For dropout and the order of records.", level="advanced", ge=0, le=LARGEST_SEED
    )
    baseline: Baseline = knob("Baseline", "The cheap model that the large one has to beat.")
