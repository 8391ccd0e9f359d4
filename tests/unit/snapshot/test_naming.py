from __future__ import annotations

from flux_actors.snapshot.naming import file_of, sequences_of


def test_names_and_sequences_are_of_each_other() -> None:
    sequences = [10**15, 100, 10, 9, 1, 0]
    assert sequences_of(map(file_of, reversed(sequences))) == sequences


def test_other_files_are_no_snapshots() -> None:
    assert (
        sequences_of(["3.flux", "x.flux", f"{file_of(1)}.bak", file_of(2).replace("flux", "tmp"), ""]) == []
    )
