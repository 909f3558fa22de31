import Glibc

/// The one container of the project: named arrays, memory-mapped, readable from Python in one line,
/// with no code inside. Format: https://github.com/huggingface/safetensors (an 8-byte little-endian
/// header length, a JSON header, the arrays' bytes).
package enum Safetensors {
  /// The element types that are read here; what is written is float32, int64 and uint8.
  package enum ElementType: String, Sendable, CaseIterable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint8 = "U8"
    case bool = "BOOL"

    package var byteCount: Int {
      switch self {
      case .float64, .int64: 8
      case .float32, .int32: 4
      case .float16, .bfloat16, .int16: 2
      case .int8, .uint8, .bool: 1
      }
    }

    package var isFloat: Bool {
      switch self {
      case .float64, .float32, .float16, .bfloat16: true
      case .int64, .int32, .int16, .int8, .uint8, .bool: false
      }
    }
  }

  /// One array as the header describes it; `bytes` counts from the start of the data section.
  package struct Entry: Sendable, Equatable {
    package let name: String
    package let type: ElementType
    package let shape: Shape
    package let bytes: Range<Int>
  }
}

/// A file that is not what its header says, or not a safetensors file at all.
package struct SafetensorsError: Error, CustomStringConvertible {
  package let path: String
  package let problem: String

  package init(path: String, problem: String) {
    self.path = path
    self.problem = problem
  }

  package var description: String { "\(path): \(problem)" }
}
