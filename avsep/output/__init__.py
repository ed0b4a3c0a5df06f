"""What a run leaves: tracks, videos, manifest, in a folder that appears whole or not at all."""
