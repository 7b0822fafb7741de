"""What section ``train`` is made of: optimizer, schedule, loss, methods, launcher, baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.schema.knob import Section, between, contradiction, knob, one_of

Kind = Literal["majority", "logistic_regression", "linear_svc", "columns", "frozen"]


class Lora(Section):
    """Low-rank adapters (Hu et al. 2021), merged into the model when it is saved."""

    rank: int = knob(
        "Rank", "How many directions may change; more learn more.",
        ge=1, le=512, search=one_of(4, 8, 16, 32),
    )  # fmt: skip
    alpha: float = knob(
        "Alpha", "Strength of the change is alpha / rank.", level="advanced", gt=0, le=1_024
    )
    dropout: float = knob(
        "Dropout", "Share of the adapters' input switched off while training.",
        unit="share", level="advanced", ge=0.0, le=0.9,
    )  # fmt: skip
    targets: Literal["attention", "all"] = knob(
        "Where", "attention: its matrices only; all: every matrix of the layers."
    )


class Contrastive(Section):
    """Pulls texts of one label together before the head is trained."""

    enabled: bool = knob(
        "Switch",
        "Helps from about 4 to 30 records a label; with more it only takes time.",
    )
    steps: int = knob(
        "Steps", "How often all of a batch's pairs are compared.",
        unit="steps", ge=1, le=10_000, search=between(5, 50),
    )  # fmt: skip
    batch_size: int = knob(
        "Batch size", "Texts compared with each other in a step.",
        unit="texts", level="advanced", ge=4, le=1_024,
    )  # fmt: skip
    learning_rate: float = knob(
        "Learning rate", "Size of a step.", gt=0, le=1, search=between(1e-5, 5e-4, log=True)
    )
    temperature: float = knob(
        "Temperature", "Lower looks at the nearest texts only.",
        level="advanced", gt=0, le=10, search=between(0.03, 0.5, log=True),
    )  # fmt: skip


class Optimizer(Section):
    """How weights are changed."""

    kind: Literal["adamw", "sgd", "rmsprop", "adafactor"] = knob(
        "Optimizer",
        "adamw suits nearly all; sgd with momentum and rmsprop need less memory and another "
        "learning rate (rmsprop about a tenth); adafactor needs least.",
        search=one_of("adamw", "sgd", "rmsprop", "adafactor"),
    )
    momentum: float = knob(
        "Momentum", "sgd and rmsprop: share of the last step that goes on.",
        level="advanced", ge=0.0, lt=1.0, search=between(0.0, 0.99),
    )  # fmt: skip
    beta1: float = knob("Beta 1", "adamw: memory of gradients.", level="advanced", ge=0.0, lt=1.0)
    beta2: float = knob(
        "Beta 2", "adamw and rmsprop: memory of squared gradients.",
        level="advanced", ge=0.0, lt=1.0,
    )  # fmt: skip
    epsilon: float = knob(
        "Epsilon", "adamw and rmsprop: keeps steps finite.", level="advanced", gt=0.0, le=0.1
    )


class Schedule(Section):
    """How the learning rate changes during training."""

    kind: Literal["constant", "linear", "cosine", "cosine_restarts", "inverse_sqrt", "plateau"] = (
        knob(
            "Schedule",
            "linear and cosine fall to zero; cosine_restarts rises again; inverse_sqrt falls ever "
            "slower, as √(warm-up / step); plateau falls when the validation part stops getting "
            "better.",
            search=one_of("constant", "linear", "cosine", "inverse_sqrt"),
        )
    )
    warmup_share: float = knob(
        "Warm-up", "Share of all steps in which the learning rate rises.",
        unit="share", ge=0.0, le=0.9, search=between(0.0, 0.3),
    )  # fmt: skip
    cycles: int = knob(
        "Cycles", "cosine_restarts: how often it falls.",
        unit="cycles", level="advanced", ge=1, le=100,
    )  # fmt: skip
    factor: float = knob(
        "Factor", "plateau: the learning rate is multiplied by this.",
        level="advanced", gt=0.0, lt=1.0,
    )  # fmt: skip
    patience: int = knob(
        "Patience of the plateau", "plateau: epochs without a better one before it falls.",
        unit="epochs", level="advanced", ge=0, le=100,
    )  # fmt: skip


class Loss(Section):
    """What training makes small."""

    label_smoothing: float = knob(
        "Label smoothing",
        "Share of certainty taken from the label, against believing wrong labels; 0 turns it off.",
        unit="share", ge=0.0, le=0.5, search=between(0.0, 0.2),
    )  # fmt: skip
    class_weights: Literal["none", "balanced", "sqrt"] = knob(
        "Class weights",
        "balanced: rare labels count as much as frequent ones; sqrt: half-way.",
        search=one_of("none", "balanced", "sqrt"),
    )
    focal_gamma: float = knob(
        "Focal gamma",
        "Records that are known well count less (Lin et al. 2017); 0 turns it off, 2 is usual.",
        level="advanced", ge=0.0, le=10.0, search=between(0.0, 3.0),
    )  # fmt: skip
    regression: Literal["squared", "huber"] = knob(
        "Loss of numbers", "regression only: huber forgives outliers.", level="advanced"
    )


class Launcher(Section):
    """Several processes, on one machine or on several, through torchrun."""

    processes: int = knob("Processes", "On each machine; one a GPU.", unit="processes", ge=1, le=64)
    machines: int = knob(
        "Machines",
        "Start the stage on each; MOFANG_RENDEZVOUS names the first one as host:port.",
        unit="machines", ge=1, le=1_024,
    )  # fmt: skip
    strategy: Literal["ddp", "fsdp"] = knob(
        "Strategy", "ddp: the whole model in each process; fsdp: the weights shared out."
    )


class Baselines(Section):
    """Cheap models beside the large one. The best of them on the validation part must be beaten."""

    kinds: list[Kind] = knob(
        "Kinds",
        "majority: the most frequent label; logistic_regression and linear_svc: on TF-IDF; "
        "columns: boosted trees on the columns beside the text; frozen: logistic regression on the "
        "starting model's embeddings.",
        min_length=1, max_length=5,
    )  # fmt: skip
    analyzer: Literal["word", "char_wb", "both"] = knob(
        "Features",
        "word for languages with spaces, char_wb for Chinese and for typing errors.",
    )
    longest: int = knob("Longest n-gram", "Words or characters in a row.", ge=1, le=8)
    max_features: int = knob(
        "Features at most", "The most frequent are kept.", unit="features", ge=100, le=5_000_000
    )

    @model_validator(mode="after")
    def kinds_differ(self) -> Baselines:
        """Each is fitted once."""
        if len(set(self.kinds)) < len(self.kinds):
            raise contradiction("a baseline twice")
        return self


class Costs(Section):
    """What running this machine costs. Changing it trains nothing again."""

    price_per_hour: float = knob(
        "Price", "Of one hour of this machine.", unit="currency/hour", ge=0.0, le=100_000.0
    )
    currency: str = knob(
        "Currency", "In which prices are shown.", pattern=r"^[A-Z]{3}$", max_length=3
    )
    country: str = knob(
        "Country",
        "Where the machine stands, as three letters (ISO 3166): decides CO2 per kWh.",
        pattern=r"^[A-Z]{3}$", max_length=3,
    )  # fmt: skip
