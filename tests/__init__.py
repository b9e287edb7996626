"""Gives each library one thread, before any of them is loaded; processes that tests start inherit it.

Each worker has a core to itself, and threads of OpenMP that wait for each other spin, which on a busy machine takes far
longer than the work. What several threads do is tested with a number of threads that the test names.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
