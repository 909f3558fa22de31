import Foundation
import Models
import Tensors
import Testing

/// Files by torch.save, read beside the same arrays in a safetensors file (Golden/weights.py).
@Suite struct TorchFileTests {
  private static func golden(_ name: String) throws -> String {
    try #require(Bundle.module.resourceURL).appendingPathComponent("Golden/\(name)").path
  }

  /// The bytes of an array of a file by safetensors.
  private static func expected(_ name: String) throws -> [UInt8] {
    let file = try Safetensors.Reader(path: golden("expected.safetensors"))
    return Array(file.bytes(of: try #require(file.entry(name), "\(name) is missing")))
  }

  private static let names = [
    "plain", "turned", "part", "last", "half", "brain", "double", "long", "int", "byte", "flag", "scalar",
    "empty",
  ]

  @Test(arguments: ["state_dict.pth", "legacy.pth"])
  func everyArrayHasTheBytesThatWereSaved(name: String) throws {
    let file = try WeightsFile(path: Self.golden(name))
    #expect(file.format == (name == "legacy.pth" ? .torchLegacy : .torchZip))
    #expect(file.arrays.map(\.name) == Self.names)
    let reference = try WeightsFile(path: Self.golden("expected.safetensors"))
    for array in file.arrays {
      let twin = try #require(reference.arrays.first { $0.name == array.name })
      #expect(array.shape == twin.shape && array.type == twin.type, "\(array.name)")
      let values = try file.values(of: array)
      let wanted = try Self.expected("\(array.name).fp32")
      #expect(values.withUnsafeBytes { Array($0) } == wanted, "\(name): \(array.name)")
      if let bytes = file.storedBytes(of: array) {
        #expect(try Array(bytes) == Self.expected(array.name), "\(name): \(array.name)")
      }
    }
    #expect(file.arrays.filter { file.storedBytes(of: $0) == nil }.map(\.name) == ["turned", "part", "last"])
    #expect(
      file.remarks == [
        "1 arrays of BF16 are converted to F32", "1 arrays of F16 are converted to F32",
        "1 arrays of F64 are converted to F32",
      ])
  }

  @Test func aCheckpointOfATrainingScriptIsItsStateDict() throws {
    let file = try WeightsFile(path: Self.golden("training.pth"))
    let names =
      ["weight", "bias"].map { "conv.\($0)" }
      + ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"].map { "bn.\($0)" }
    #expect(file.arrays.map(\.name) == names)
    #expect(
      file.remarks == ["the arrays are those under \"state_dict\"", "\"module.\" is taken off all names"])
    for array in file.arrays where array.type == .float32 {
      let bytes = try #require(file.storedBytes(of: array))
      #expect(try Array(bytes) == Self.expected("training.\(array.name)"))
    }
  }

  @Test func parametersAreTensors() throws {
    let file = try WeightsFile(path: Self.golden("parameters.pth"))
    #expect(file.arrays.map(\.name) == ["conv.weight", "conv.bias", "bn.weight", "bn.bias"])
    let weight = try #require(file.storedBytes(of: file.arrays[0]))
    #expect(try Array(weight) == Self.expected("training.conv.weight"))
  }

  /// Wherever a file ends early, it is refused: each array must be there wholly.
  @Test(arguments: ["training.pth", "legacy.pth"])
  func aFileThatIsCutShortIsRefused(name: String) throws {
    let whole = try Data(contentsOf: URL(fileURLWithPath: Self.golden(name)))
    try withTemporaryFile { path in
      for count in stride(from: 0, to: whole.count, by: 7) {
        try whole.prefix(count).write(to: URL(fileURLWithPath: path))
        #expect(throws: (any Error).self, "\(name) cut to \(count) bytes") { try WeightsFile(path: path) }
      }
    }
  }
}

/// Runs `body` with a path for a file, and takes the file away.
func withTemporaryFile(_ body: (String) throws -> Void) throws {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}
