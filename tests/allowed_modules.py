"""The modules beside the tests whose classes their configurations name."""

TEST_MODULES = ("tiny_training", "tiny_models", "stub_models", "test_data_module")
