"""`flux connectors key`: a key that the server takes."""

from __future__ import annotations

from flux_actors.settings_loading import load_settings


def test_it_prints_a_key_that_the_server_takes_and_another_each_time(run):
    printed = [run("connectors", "key") for _ in range(2)]
    assert [result.exit_code for result in printed] == [0, 0]
    first, second = (load_settings({}, {"FLUX_ENCRYPTION_KEY": result.stdout.strip()}) for result in printed)
    assert len(first.encryption_keys[0]) == 32
    assert first.encryption_keys != second.encryption_keys


def test_its_help_says_how_keys_are_changed(run):
    assert "before the old one" in run("connectors", "key", "--help").stdout
