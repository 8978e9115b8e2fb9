"""Model versions for Triton: deployment, configurations, reduced precision, TensorRT engines."""
