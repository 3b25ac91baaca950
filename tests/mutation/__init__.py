"""The planted bugs, by the folder that they are planted in."""

from . import elements, embeddings, host, launches, policies, reference, rows, similarities

GROUPS = [rows, policies, elements, embeddings, similarities, host, launches, reference]
MUTANTS = [m for group in GROUPS for m in group.MUTANTS]
