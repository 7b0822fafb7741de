"""What values that are one of several are called, and how they are told apart without colour."""

from __future__ import annotations

from pipeline.i18n import Message, _

Choices = dict[str, Message]

PHASES: Choices = {
    "requirements": _("Requirements"),
    "data": _("Data preparation"),
    "design": _("Model design"),
    "training": _("Training"),
    "evaluation": _("Evaluation and optimization"),
    "deployment": _("Deployment"),
    "monitoring": _("Monitoring and upkeep"),
}
DIRECTIONS: Choices = {"at_least": _("at least"), "at_most": _("at most")}
PERSONAL: Choices = {
    "unknown": _("not known yet"),
    "none": _("none"),
    "masked": _("masked before training"),
    "kept": _("kept, with a reason"),
}
MACHINES: Choices = {
    "gpu": _("GPU"),
    "tpu": _("TPU or another accelerator"),
    "cpu": _("processor"),
    "memory": _("memory"),
    "storage": _("storage"),
    "network": _("network"),
}
SPENDING: Choices = {
    "hardware": _("hardware"),
    "people": _("people"),
    "cloud": _("cloud services"),
    "data": _("data and labelling"),
    "licences": _("licences"),
    "other": _("other"),
}
RISKS: Choices = {
    "data": _("technical: data"),
    "performance": _("technical: performance of the model"),
    "complexity": _("technical: complexity"),
    "computing": _("technical: computing power"),
    "operations": _("technical: operations"),
    "time": _("business: time"),
    "cost": _("business: cost"),
    "change": _("business: changing requirements"),
    "people": _("business: people"),
    "bias": _("society: bias and fairness"),
    "privacy": _("society: privacy and content"),
    "environment": _("society: environment"),
}
ANSWERS: Choices = {
    "validate": _("check after every phase"),
    "alternative": _("keep an alternative ready"),
    "communicate": _("keep talking with those concerned"),
    "avoid": _("avoid it"),
    "reduce": _("make it smaller"),
    "transfer": _("hand it to somebody else"),
    "accept": _("accept it"),
}
RISK_STATES: Choices = {
    "open": _("open risk"),
    "watched": _("being worked on"),
    "happened": _("has happened"),
    "closed": _("closed"),
}
DECISIONS: Choices = {
    "open": _("not decided"),
    "go": _("go on"),
    "conditions": _("go on, under conditions"),
    "stop": _("stop the project"),
}
LIKELIHOOD: Choices = {
    "1": _("1 rare"),
    "2": _("2 unlikely"),
    "3": _("3 possible"),
    "4": _("4 likely"),
    "5": _("5 almost certain"),
}
IMPACT: Choices = {
    "1": _("1 negligible"),
    "2": _("2 small"),
    "3": _("3 noticeable"),
    "4": _("4 severe"),
    "5": _("5 ends the project"),
}
FIGURES: Choices = {
    "none": _("no figure of Mofang"),
    "main": _("main figure of the test"),
    "accuracy": _("accuracy of the test"),
    "macro_f1": _("macro-F1 of the test"),
    "worst_class_recall": _("recall of the weakest label"),
    "r2": _("R² of the test"),
    "mae": _("mean absolute error of the test"),
    "latency_ms_p95": _("time of an answer (95 of 100), ms"),
    "texts_per_second": _("texts a second"),
    "size_mb": _("size of the model, MB"),
}
