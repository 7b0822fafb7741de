"""Mofang's pipeline: raw text in, a tested and optimized model out.

One module a stage, in the order of ``dvc.yaml``: collect, clean, label, split, init, train,
validate, test, optimize. A stage loads, calls pure functions and saves; what it calls lives in
``sources``, ``steps``, ``modeling`` and ``evaluation``.
"""
