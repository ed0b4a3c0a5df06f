"""Results as files that other programs open: diarization tools, players, editors."""
