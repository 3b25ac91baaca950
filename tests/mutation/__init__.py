"""The planted bugs, by the folder that they are planted in."""

from . import elements, embeddings, host, kept, launches, policies, reference, rows, similarities

GROUPS = [rows, policies, elements, embeddings, similarities, kept, host, launches, reference]
MUTANTS = [m for group in GROUPS for m in group.MUTANTS]
