import Foundation
import Tensors

/// A file of what PyTorch computed, `Golden/FAMILY.safetensors`, written by `Golden/FAMILY.py` with
/// the helper `Golden/golden.py`: arrays named `case/array`, and for each case its hyper-parameters.
struct GoldenFile {
  private let reader: Safetensors.Reader

  init(_ family: String) throws {
    let path = Bundle.module.resourceURL?.appendingPathComponent("Golden/\(family).safetensors").path
    reader = try Safetensors.Reader(path: path ?? family)
  }

  /// The cases by name, with their hyper-parameters decoded from the file's metadata.
  func cases<Hyper: Decodable>(_ type: Hyper.Type) throws -> [(name: String, hyper: Hyper)] {
    let text = reader.metadata["cases"] ?? ""
    let decoded = try JSONDecoder().decode([String: Hyper].self, from: Foundation.Data(text.utf8))
    precondition(!decoded.isEmpty, "\(reader.path) has no cases")
    return decoded.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  func tensor(_ name: String) throws -> Tensor { try reader.tensor(name) }
  func integers(_ name: String) throws -> [Int64] { try reader.integers(name) }
  func has(_ name: String) -> Bool { reader.entry(name) != nil }
}
