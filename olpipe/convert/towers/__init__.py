"""Write vision encoders as ONNX graphs: one module for each kind, and `encoder` for the parts that they share."""
