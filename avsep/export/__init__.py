"""What leaves a training: self-describing weights and ONNX."""
