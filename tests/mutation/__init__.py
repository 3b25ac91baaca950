"""The planted bugs, by the folder that they are planted in."""

from . import (elements, embeddings, host, kept, launches, mining, policies, reference, rows,
               similarities)

GROUPS = [rows, policies, elements, embeddings, similarities, kept, mining, host, launches, reference]
MUTANTS = [m for group in GROUPS for m in group.MUTANTS]
