"""Find the cause of a skew.

`diagnose.HYPOTHESES` lists the causes that are tried. To add a skew of pixels, see `skews`; for another cause, see
`diagnose`. Each known skew is planted by an entry in `tests/serving/diagnosis/planted.py`.
"""
