"""Export: what the state keeps, as files for other programs. Read-only, in constant memory, resumable (docs/export.md).

store ──pages──▶ rows (columns.py) ──formats──▶ bytes ──file──▶ FILE.part, FILE
"""
