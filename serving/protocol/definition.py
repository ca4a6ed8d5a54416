"""TensorFlow Serving's messages as this house's client speaks them: only those that it sends or reads.

Field numbers and types are those of tensorflow/serving (`apis/*.proto`) and tensorflow/core (`tensor.proto`,
`tensor_shape.proto`, `types.proto`, `example.proto`, `feature.proto`), the same since 2.16; numbers and types are all
that goes over the wire, so names are free, nesting is not needed, and a field that is left out here is kept, unread,
in a message.
"""

PROTO = """
message ModelSpec {  // which model, which version of it, which signature
  string name = 1;
  oneof version_choice {
    Int64Value version = 2;
    string version_label = 4;
  }
  string signature_name = 3;
}
message Int64Value { int64 value = 1; }

// Predict: named tensors in, named tensors out.
message PredictRequest {
  ModelSpec model_spec = 1;
  map<string, Tensor> inputs = 2;
  repeated string output_filter = 3;
}
message PredictResponse {
  map<string, Tensor> outputs = 1;
  ModelSpec model_spec = 2;
}
message Tensor {
  DataType dtype = 1;
  Shape tensor_shape = 2;
  int32 version_number = 3;
  bytes tensor_content = 4;
  repeated float float_val = 5;
  repeated double double_val = 6;
  repeated int32 int_val = 7;
  repeated bytes string_val = 8;
  repeated int64 int64_val = 10;
  repeated bool bool_val = 11;
  repeated int32 half_val = 13;
  repeated uint32 uint32_val = 16;
  repeated uint64 uint64_val = 17;
}
message Shape {
  repeated Dim dim = 2;
  bool unknown_rank = 3;
}
message Dim {
  int64 size = 1;
  string name = 2;
}
enum DataType {
  DT_INVALID = 0;
  DT_FLOAT = 1;
  DT_DOUBLE = 2;
  DT_INT32 = 3;
  DT_UINT8 = 4;
  DT_INT16 = 5;
  DT_INT8 = 6;
  DT_STRING = 7;
  DT_INT64 = 9;
  DT_BOOL = 10;
  DT_UINT16 = 17;
  DT_HALF = 19;
  DT_UINT32 = 22;
  DT_UINT64 = 23;
}

// Classify and Regress: tf.Examples in, classes with scores or numbers out.
message ClassificationRequest {
  ModelSpec model_spec = 1;
  Input input = 2;
}
message ClassificationResponse {
  ClassificationResult result = 1;
  ModelSpec model_spec = 2;
}
message ClassificationResult { repeated Classifications classifications = 1; }
message Classifications { repeated Class classes = 1; }
message Class {
  string label = 1;
  float score = 2;
}
message RegressionRequest {
  ModelSpec model_spec = 1;
  Input input = 2;
}
message RegressionResponse {
  RegressionResult result = 1;
  ModelSpec model_spec = 2;
}
message RegressionResult { repeated Regression regressions = 1; }
message Regression { float value = 1; }
message Input {
  oneof kind {
    ExampleList example_list = 1;
    ExampleListWithContext example_list_with_context = 2;
  }
}
message ExampleList { repeated Example examples = 1; }
message ExampleListWithContext {
  repeated Example examples = 1;
  Example context = 2;
}
message Example { Features features = 1; }
message Features { map<string, Feature> feature = 1; }
message Feature {
  oneof kind {
    BytesList bytes_list = 1;
    FloatList float_list = 2;
    Int64List int64_list = 3;
  }
}
message BytesList { repeated bytes value = 1; }
message FloatList { repeated float value = 1; }
message Int64List { repeated int64 value = 1; }

// GetModelStatus.
message GetModelStatusRequest { ModelSpec model_spec = 1; }
message GetModelStatusResponse { repeated ModelVersionStatus model_version_status = 1; }
message ModelVersionStatus {
  int64 version = 1;
  State state = 2;
  Status status = 3;
}
message Status {
  int32 error_code = 1;  // of gRPC
  string error_message = 2;
}
enum State {
  UNKNOWN = 0;
  START = 10;
  LOADING = 20;
  AVAILABLE = 30;
  UNLOADING = 40;
  END = 50;
}
"""
