"""Runs of the pipeline: started, followed, stopped and compared; the truth about them is on disk.

::

    starting ──► supervisor ──► execute (dvc repro) ──► a stage
                     │               in work/runs/tree, a copy of the project
                     ▼
    work/runs/<id>/{run.json, params.yaml, log, progress.jsonl, devices.jsonl, …}
                     ▲
    following, stopping, diagnosing, comparing ◄── pages
"""
