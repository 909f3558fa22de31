import Glibc

/// The one container of the project: named arrays, memory-mapped, readable from Python in one line,
/// with no code inside. Format: https://github.com/huggingface/safetensors (an 8-byte little-endian
/// header length, a JSON header, the arrays' bytes).
package enum Safetensors {
  /// The element types that are read and written here.
  package enum ElementType: String, Sendable {
    case float32 = "F32"
    case int64 = "I64"
    case uint8 = "U8"

    package var byteCount: Int {
      switch self {
      case .float32: 4
      case .int64: 8
      case .uint8: 1
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
