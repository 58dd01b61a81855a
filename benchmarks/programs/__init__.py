"""Well-known programs of the field at (nearly) their real sizes: is a whole check of each quick, small and right?

Own code; the origins are named. Small losses show what an op does, these what a program costs.
"""

from benchmarks.programs import images, sequences, tables
from benchmarks.programs.program import Program

PROGRAMS: tuple[Program, ...] = (*images.PROGRAMS, *sequences.PROGRAMS, *tables.PROGRAMS)
