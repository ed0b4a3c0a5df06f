"""People who are known by face and voice: the library on disk, how likely a track is whose, and the names of tracks."""
