"""The planted bugs, by the folder that they are planted in."""

from . import (c_interface, elements, embeddings, host, kept, launches, linear, mining,
               own_negatives, pairs, pipelined, policies, reference, rows, self_similarity, siglip,
               similarities)

GROUPS = [rows, pipelined, policies, elements, embeddings, similarities, self_similarity, siglip,
          kept, own_negatives, mining, pairs, linear, host, launches, reference, c_interface]
MUTANTS = [m for group in GROUPS for m in group.MUTANTS]
