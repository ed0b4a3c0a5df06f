"""The models: each mode is a class whose attributes say what it takes and gives."""
