"""How texts are taken apart: pieces learnt from the training part, in one of three ways.

The same texts give the same pieces in every process, whatever the number of threads:

- WordPiece (Schuster and Nakajima 2012): the library numbers the pieces within words in the order
  of a hash table and breaks ties by these numbers, so they are numbered here beforehand.
- BPE (Sennrich et al. 2016) on bytes: counts are whole numbers and ties go by the order of bytes,
  so nothing has to be done.
- Unigram (Kudo 2018): sums run in the order of a hash table, so that scores differ in their last
  bits, and single characters that were nearly pruned are told apart by that order. The former are
  rounded, the latter made equal, and the pieces numbered by score and name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SCORE_DIGITS = 6  # of logarithms near -10: far above what the order of a sum changes
RESCUE_STEP = 1e-4  # by which the library tells characters apart that it keeps for their own sake


@dataclass(frozen=True)
class Signs:
    """Tokens that stand for no text, and where a text gets them."""

    padding: str
    unknown: str
    named: dict[str, str]  # by the names that transformers gives them
    frame: str  # $A is the text

    @property
    def all(self) -> list[str]:
        """Every sign, in the order of its number."""
        return list(dict.fromkeys([self.padding, self.unknown, *self.named.values()]))


BERT = Signs(
    padding="[PAD]",
    unknown="[UNK]",
    named={"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"},
    frame="[CLS] $A [SEP]",
)
# The last state is read, which has to be that of the same token for every text.
ENDED = Signs(
    padding="<pad>",
    unknown="<unk>",
    named={"bos_token": "<s>", "eos_token": "</s>"},
    frame="$A </s>",
)
FRAMED = Signs(ENDED.padding, ENDED.unknown, ENDED.named, "<s> $A </s>")


def signs(family: str, positions: str) -> Signs:
    """Return the signs that models of a family expect."""
    if family == "encoder":
        return BERT
    return FRAMED if (family, positions) == ("encoder_decoder", "learned") else ENDED


def train(
    texts: Sequence[str], knobs: Any, framing: Signs, *, max_tokens: int
) -> PreTrainedTokenizerFast:
    """Return a tokenizer learnt from ``texts``, as plain ``transformers`` loads it.

    :param knobs: section ``init.scratch.tokenizer``.
    """
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=learn(texts, knobs, framing),
        model_max_length=max_tokens,
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right",
        # A text that speaks of </s> does not end there: models count these tokens.
        split_special_tokens=True,
        pad_token=framing.padding,
        unk_token=framing.unknown,
        **framing.named,
    )


def learn(texts: Sequence[str], knobs: Any, framing: Signs) -> Any:
    """Return what ``train`` wraps: a tokenizer that frames each text by its signs."""
    from tokenizers import processors

    algorithm = {"wordpiece": wordpiece, "bpe": byte_pairs, "unigram": unigram}[knobs.algorithm]
    tokenizer = algorithm(texts, knobs, framing)
    tokenizer.add_special_tokens(framing.all)
    numbers = [(sign, tokenizer.token_to_id(sign)) for sign in framing.all]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=framing.frame, special_tokens=[one for one in numbers if one[0] in framing.frame]
    )
    return tokenizer


def wordpiece(texts: Sequence[str], knobs: Any, framing: Signs) -> Any:
    """Return a WordPiece tokenizer; Chinese goes character by character."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    unknown = framing.unknown
    learner, tokenizer = Tokenizer(models.WordPiece(unk_token=unknown)), Tokenizer(models.BPE())
    for one in (learner, tokenizer):
        one.normalizer = normalizers.BertNormalizer(lowercase=knobs.lowercase)
        one.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces = sorted({f"##{letter}" for word in split_words(learner, texts) for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=knobs.vocabulary,
        min_frequency=knobs.min_frequency,
        special_tokens=[*framing.all, *pieces],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    tokenizer.model = models.WordPiece(learner.get_vocab(), unk_token=unknown)
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def split_words(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    """Yield every word that a tokenizer would take apart."""
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        yield from (word for word, _span in tokenizer.pre_tokenizer.pre_tokenize_str(normal))


def byte_pairs(texts: Sequence[str], knobs: Any, framing: Signs) -> Any:
    """Return a tokenizer of joined bytes: it knows every character, at up to four tokens each."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if knobs.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    # The first word gets a space as well: it is the same word in the middle of a text.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=knobs.vocabulary,
        min_frequency=knobs.min_frequency,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=framing.all,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def unigram(texts: Sequence[str], knobs: Any, framing: Signs) -> Any:
    """Return a tokenizer that cuts a text into its likeliest pieces, ``▁`` being a space."""
    from tokenizers import Tokenizer, models, trainers

    learner = spaced(Tokenizer(models.Unigram()), knobs)
    trainer = trainers.UnigramTrainer(
        vocab_size=knobs.vocabulary,
        special_tokens=framing.all,
        unk_token=framing.unknown,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    scores = unigram_scores(learner)
    tokenizer = spaced(Tokenizer(unigram_model(scores, framing)), knobs)
    if knobs.min_frequency > 1:
        used = Counter(piece for one in tokenizer.encode_batch(texts) for piece in one.tokens)
        frequent = {
            piece: score for piece, score in scores.items() if used[piece] >= knobs.min_frequency
        }
        tokenizer.model = unigram_model(frequent, framing)
    return tokenizer


def spaced(tokenizer: Any, knobs: Any) -> Any:
    """Return the same tokenizer, which takes spaces for letters."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    if knobs.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def unigram_scores(tokenizer: Any) -> dict[str, float]:
    """Return pieces and their logarithmic probabilities, the same in every process.

    A character that is in no likely piece gets the lowest score, plus ``RESCUE_STEP`` for each
    that was so rescued before: all of them get the lowest here.
    """
    import json

    found = dict(json.loads(tokenizer.to_str())["model"]["vocab"])
    lowest = min(found.values())
    for piece, score in found.items():
        steps = (score - lowest) / RESCUE_STEP
        rescued = len(piece) == 1 and abs(steps - round(steps)) < 1e-3 and steps < len(found)
        found[piece] = round(lowest if rescued else score, SCORE_DIGITS)
    return found


def unigram_model(scores: dict[str, float], framing: Signs) -> Any:
    """Return the model of these pieces, the likeliest first.

    Only the sign for what is unknown is among them: a text that speaks of ``</s>`` would be cut
    into any other. These follow as added tokens.
    """
    from tokenizers import models

    pieces = sorted(
        ((piece, score) for piece, score in scores.items() if piece not in framing.all),
        key=lambda one: (-one[1], one[0]),
    )
    return models.Unigram([(framing.unknown, 0.0), *pieces], unk_id=0)
