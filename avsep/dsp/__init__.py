"""Signal processing without learned parts."""
