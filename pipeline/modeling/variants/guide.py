"""How a phone loads a bundle: a README in English and 中文, with code for Android and iOS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from pipeline.i18n import LANGUAGES, Message, _
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pipeline.predictor import Card

# What training did to each text, by its name in the card, in the order of ``steps.text.normalize``;
# an app has to do the same.
STEPS = {
    "repair": _("mend text that was decoded wrongly (only where your app reads old files)"),
    "unicode": _(
        "NFKC: Normalizer.normalize(text, Normalizer.Form.NFKC) on Android, "
        "text.precomposedStringWithCompatibilityMapping on iOS"
    ),
    "width": _("full-width Latin letters and signs to half-width"),
    "simplified": _("traditional Chinese to simplified (OpenCC, t2s)"),
    "html": _("take out tags and decode entities"),
    "control": _("take out control and invisible characters"),
    "urls": _("addresses of web pages: {how}"),
    "emails": _("addresses of e-mail: {how}"),
    "white_space": _("one space between words, none at the ends"),
}
SCORES = {
    SINGLE: _(
        "probabilities = softmax(logits / {temperature}), in the order of labels.json; the highest "
        "is the answer"
    ),
    MULTI: _(
        "probabilities = sigmoid(logits / {temperature}), in the order of labels.json; each label "
        "from its threshold on (mofang.json, thresholds; one half where none is given) is one of "
        "the answers"
    ),
    REGRESSION: _("the only logit is the number"),
}
TWO = _(
    "probabilities = softmax(logits / {temperature}), in the order of labels.json; the answer is "
    "{label} from {threshold} on, else the other label"
)
ANDROID = """\
// build.gradle.kts
//   implementation("com.microsoft.onnxruntime:onnxruntime-android:latest.release")
//   implementation("ai.djl.huggingface:tokenizers:0.33.0")
//   implementation("ai.djl.android:tokenizer-native:0.33.0")
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.io.File
import java.nio.LongBuffer

class Classifier(folder: File) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session =
        environment.createSession(File(folder, "model.ort").path, OrtSession.SessionOptions())
    private val tokenizer = HuggingFaceTokenizer.newInstance(
        File(folder, "tokenizer.json").toPath(),
        mapOf("truncation" to "true", "maxLength" to "MAX_TOKENS", "padding" to "false"),
    )

    fun logits(normalized: String): FloatArray {
        val ids = tokenizer.encode(normalized).ids
        return tensor(ids).use { tokens ->
            tensor(LongArray(ids.size) { 1L }).use { mask ->
                session.run(mapOf("input_ids" to tokens, "attention_mask" to mask)).use {
                    @Suppress("UNCHECKED_CAST")
                    (it[0].value as Array<FloatArray>)[0]
                }
            }
        }
    }

    private fun tensor(values: LongArray) = OnnxTensor.createTensor(
        environment, LongBuffer.wrap(values), longArrayOf(1, values.size.toLong())
    )

    override fun close() {
        tokenizer.close()
        session.close()
    }
}
"""
IOS = """\
// Swift packages
//   https://github.com/microsoft/onnxruntime-swift-package-manager
//   https://github.com/huggingface/swift-transformers
import Foundation
import OnnxRuntimeBindings
import Tokenizers

final class Classifier {
    private let environment: ORTEnv
    private let session: ORTSession
    private let tokenizer: Tokenizer

    init(folder: URL) async throws {
        environment = try ORTEnv(loggingLevel: .warning)
        session = try ORTSession(
            env: environment,
            modelPath: folder.appendingPathComponent("model.ort").path,
            sessionOptions: nil)
        tokenizer = try await AutoTokenizer.from(modelFolder: folder)
    }

    func logits(_ normalized: String) throws -> [Float] {
        var ids = tokenizer.encode(text: normalized).map { Int64($0) }
        if ids.count > MAX_TOKENS {
            ids = Array(ids.prefix(MAX_TOKENS - END_SIGNS) + ids.suffix(END_SIGNS))
        }
        let outputs = try session.run(
            withInputs: [
                "input_ids": tensor(ids),
                "attention_mask": tensor(ids.map { _ in 1 }),
            ],
            outputNames: ["logits"], runOptions: nil)
        let data = try outputs["logits"]!.tensorData() as Data
        return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    private func tensor(_ values: [Int64]) throws -> ORTValue {
        let data = values.withUnsafeBytes { NSMutableData(bytes: $0.baseAddress, length: $0.count) }
        return try ORTValue(
            tensorData: data, elementType: .int64, shape: [1, NSNumber(value: values.count)])
    }
}
"""


def text(card: Card, tokenizer: Tokenizer) -> str:
    """Return the guide as Markdown, in every language that Mofang speaks, one after the other."""
    parts = ["\n".join(lines(card, tokenizer, language)) for language in LANGUAGES]
    return "\n\n---\n\n".join(parts) + "\n"


def lines(card: Card, tokenizer: Tokenizer, language: str) -> Iterator[str]:
    """Yield the guide in one language."""

    def say(message: Message) -> str:
        return message.render(language)

    yield "# " + say(_("A text model for Android and iOS"))
    yield ""
    yield say(
        _(
            "Written by ONNX Runtime {version}; an app needs this version or a newer one. Copy the "
            "whole folder into the app's files.",
            version=version("onnxruntime"),
        )
    )
    yield ""
    yield "## " + say(_("From text to answer"))
    yield ""
    yield "1. " + say(
        _("Do to the text what training did to it, in this order, until nothing changes:")
    )
    yield from (f"   - {say(step)}" for step in steps(card))
    yield "2. " + say(
        _(
            "Split it with tokenizer.json, signs at both ends included, and keep at most {most} "
            "tokens. Where a text may speak of such a sign, as of [SEP], put a space behind its "
            "first character before: the tokenizers of phones take it for the sign itself.",
            most=card.max_tokens,
        )
    )
    yield "3. " + say(
        _("Run model.ort with input_ids and attention_mask (all 1), int64, [1, tokens].")
    )
    yield "4. " + say(_("It gives logits, float32, [1, outputs]:")) + " " + say(scores(card))
    yield "5. " + say(
        _(
            "Compare with check.json, which holds texts, tokens and logits: tokens are equal, "
            "logits differ by rounding only."
        )
    )
    yield ""
    yield "## Android"
    yield ""
    yield from ("```kotlin", filled(ANDROID, card, tokenizer), "```")
    yield ""
    yield "## iOS"
    yield ""
    yield from ("```swift", filled(IOS, card, tokenizer), "```")


def steps(card: Card) -> list[Message]:
    """Return what training did to each text."""
    done = [
        Message(step.text, {"how": card.normalize[name]})
        for name, step in STEPS.items()
        if card.normalize[name] not in (False, "keep")
    ]
    if card.mask["kinds"]:
        done.append(
            _("personal data masked: {mask}", mask=json.dumps(card.mask, ensure_ascii=False))
        )
    return done or [_("nothing to do")]


def scores(card: Card) -> Message:
    """Return how logits become an answer."""
    values: dict[str, object] = {"temperature": f"{card.temperature:.4g}"}
    if card.task == SINGLE and card.thresholds:
        (label, threshold), *_none = card.thresholds.items()
        return Message(TWO.text, values | {"label": label, "threshold": f"{threshold:.4g}"})
    return Message(SCORES[card.task].text, values)


def filled(code: str, card: Card, tokenizer: Tokenizer) -> str:
    """Return code with the numbers of this model in it."""
    signs = tokenizer.encode("a").special_tokens_mask
    ends = len(signs) - len("".join(map(str, signs)).rstrip("1"))
    return code.replace("MAX_TOKENS", str(card.max_tokens)).replace("END_SIGNS", str(ends)).rstrip()
