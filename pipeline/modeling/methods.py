"""The ways of training: every weight (full), added ones (lora), or the head alone (frozen).

A method prepares what Trainer trains, and gives the plain model back at the end. Trainer saves and
resumes all of them alike: weights that do not change stand in no checkpoint, they come from the
model that training starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.i18n import _

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Example = dict[str, Any]
Parts = dict[str, list[Example]]


class Method:
    """Trains every weight; what the other methods have in common."""

    def __init__(self, knobs: Any) -> None:
        self.knobs = knobs

    def prepare(self, model: PreTrainedModel, parts: Parts, work: Path) -> tuple[Any, Parts]:
        """Return the model and the examples to train on; what must not change is frozen.

        :param parts: ``train`` and ``validation``, encoded.
        :param work: folder of this run.
        """
        if self.knobs.contrastive.enabled:
            start_from_means(model)
        if self.knobs.freeze_embeddings:
            model.get_input_embeddings().requires_grad_(False)
        save_what_changes(model)
        return model, parts

    def collator(self, tokenizer: PreTrainedTokenizerFast) -> Callable[[Any], dict[str, Any]]:
        """Return what makes a batch of examples: padded to the longest of them."""
        from transformers import DataCollatorWithPadding

        padded: Callable[[Any], dict[str, Any]] = DataCollatorWithPadding(tokenizer)
        return padded

    def restore(self, model: PreTrainedModel, checkpoint: Path) -> None:
        """Put the weights of a checkpoint into a prepared model.

        :raises ModelError: if weights are missing in the checkpoint, or are not this model's.
        """
        put_weights(model, checkpoint)

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the plain model, as ``transformers`` loads it, from a prepared one."""
        save_everything(model)
        return model


class Lora(Method):
    """Trains low-rank adapters and the head; the adapters are merged at the end."""

    def prepare(self, model: PreTrainedModel, parts: Parts, work: Path) -> tuple[Any, Parts]:
        """Return the model with adapters; all other weights but the head's are frozen."""
        from pipeline.modeling import lora

        if self.knobs.contrastive.enabled:
            start_from_means(model)
        lora.add(model, self.knobs.lora, seed=self.knobs.seed)
        save_what_changes(model)
        return model, parts

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the model with the adapters merged into its matrices."""
        from pipeline.modeling import lora

        lora.merge(model)
        return super().finish(model)


class Frozen(Method):
    """Trains the head alone, on states that the encoder gives once and that a cache keeps."""

    def prepare(self, model: PreTrainedModel, parts: Parts, work: Path) -> tuple[Any, Parts]:
        """Return the model with its encoder stood in for, and the states in the texts' place."""
        from pipeline.modeling import frozen

        start_from_means(model)
        features = frozen.features(model, parts, self.knobs)
        frozen.bypass(model)
        save_what_changes(model)
        return model, features

    def collator(self, tokenizer: PreTrainedTokenizerFast) -> Callable[[Any], dict[str, Any]]:
        """Return what stacks states."""
        from pipeline.modeling import frozen

        return frozen.stack

    def finish(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return the model with its encoder at work again."""
        from pipeline.modeling import frozen

        frozen.rejoin(model)
        return super().finish(model)


def of(knobs: Any) -> Method:
    """Return the method that ``params.train`` names."""
    kinds: Mapping[str, type[Method]] = {"full": Method, "lora": Lora, "frozen": Frozen}
    return kinds[knobs.method](knobs)


def start_from_means(model: PreTrainedModel) -> None:
    """Let the head read the mean of all tokens, where the model can: it says more from the start.

    The head alone, or very few records, cannot teach the first token to gather the whole text.
    """
    from pipeline.modeling import pooling

    pooling.average(model)


def save_what_changes(model: PreTrainedModel) -> None:
    """Let ``save_pretrained`` leave out frozen weights, so that checkpoints are small.

    ``transformers`` knows weights that are not saved (``_keys_to_ignore_on_save``), and Trainer
    resumes without them.
    """
    model._keys_to_ignore_on_save = sorted(
        name
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not tensor.requires_grad and is_weight(model, name)
    )


def save_everything(model: PreTrainedModel) -> None:
    """Take ``save_what_changes`` back; every weight may change again."""
    model.__dict__.pop("_keys_to_ignore_on_save", None)
    model.requires_grad_(True)


def is_weight(model: PreTrainedModel, name: str) -> bool:
    """Return whether a name of the state is a weight; buffers change without a gradient."""
    module, _dot, last = name.rpartition(".")
    return last in model.get_submodule(module)._parameters


def put_weights(model: PreTrainedModel, checkpoint: Path) -> None:
    """Load a checkpoint's safetensors; weights that it does not hold stay as they are.

    :raises ModelError: if weights are missing that training changes, or are not this model's.
    """
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for path in sorted(checkpoint.glob("model*.safetensors")):
        found |= load_file(path)
    loaded = model.load_state_dict(found, strict=False)
    wrong = [*missing(model, loaded.missing_keys, found), *loaded.unexpected_keys]
    if wrong:
        raise ModelError.at(
            checkpoint,
            found=_("weights that do not fit: {names}", names=", ".join(sorted(wrong)[:3])),
            allowed=_("the weights that this training changes"),
            fix=_("Delete this folder; training starts again."),
        )


def missing(
    model: PreTrainedModel, names: Sequence[str], found: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the weights that a checkpoint lacks; tied ones are saved once, frozen ones never."""
    state = model.state_dict(keep_vars=True)
    there = {id(state[name]) for name in found if name in state}
    left_out = set(model._keys_to_ignore_on_save or ())
    yield from (name for name in names if name not in left_out and id(state[name]) not in there)
