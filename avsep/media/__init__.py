"""Reading and writing sound and pictures; the only room that knows PyAV."""
