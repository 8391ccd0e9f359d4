"""LangGraph's own tests of a memory, passed by the one that keeps it in a real Flux."""

from __future__ import annotations

import subprocess
import sys
