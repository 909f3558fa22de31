import Foundation
import ONNXMessages
import SwiftProtobuf
import Tensors

/// An ONNX file, taken apart as far as its graph: nodes in their order, and arrays that can be asked for.
struct ONNXModel {
  let path: String
  let graph: Onnx_GraphProto
  let metadata: [String: String]
  /// By name.
  let arrays: [String: Tensor]
  let integers: [String: [Int]]

  /// Throws `FileError` or `WeightsError`.
  init(path: String) throws {
    self.path = path
    let file = try MappedFile(path: path)
    let message: Onnx_ModelProto
    do {
      message = try Onnx_ModelProto(serializedBytes: Foundation.Data(file.bytes))
    } catch {
      throw WeightsError(path: path, problem: "not an ONNX model, or damaged (\(error))")
    }
    guard message.hasGraph, let version = message.opsetImport.first(where: { $0.domain.isEmpty })?.version
    else {
      throw WeightsError(path: path, problem: "not an ONNX model: it has no graph, or names no opset")
    }
    guard (9...25).contains(version) else {
      throw WeightsError(path: path, problem: "of opset \(version); opsets 9 to 25 are read")
    }
    graph = message.graph
    metadata = Dictionary(message.metadataProps.map { ($0.key, $0.value) }) { first, _ in first }
    var (arrays, integers) = ([String: Tensor](), [String: [Int]]())
    for array in graph.initializer {
      guard arrays[array.name] == nil, integers[array.name] == nil else {
        throw WeightsError(path: path, problem: "holds two arrays named \(array.name)")
      }
      switch try Self.decoded(array, path: path) {
      case .floats(let tensor): arrays[array.name] = tensor
      case .integers(let values): integers[array.name] = values
      }
    }
    (self.arrays, self.integers) = (arrays, integers)
  }

  enum Decoded {
    case floats(Tensor)
    case integers([Int])
  }

  /// Throws `WeightsError` where an array isn't what it says, isn't finite, or lies in another file.
  static func decoded(_ array: Onnx_TensorProto, path: String) throws(WeightsError) -> Decoded {
    func refuse(_ problem: String) -> WeightsError {
      WeightsError(path: path, problem: "the array \(array.name) \(problem)")
    }
    guard array.dataLocation == .default else { throw refuse("lies in another file, which isn't read") }
    var count = 1
    for extent in array.dims {
      let (next, overflow) = count.multipliedReportingOverflow(by: Int(extent))
      guard extent >= 0, !overflow, next <= 1 << 40 else { throw refuse("of shape \(array.dims) is none") }
      count = next
    }
    if array.dataType == Int32(Onnx_TensorProto.DataType.int64.rawValue) {
      let values =
        array.rawData.isEmpty
        ? array.int64Data.map(Int.init) : numbers(array.rawData, Int64.self).map(Int.init)
      guard values.count == count else { throw refuse("expects \(count) elements, got \(values.count)") }
      return .integers(values)
    }
    let values: [Float]
    switch Onnx_TensorProto.DataType(rawValue: Int(array.dataType)) {
    case .float where array.rawData.isEmpty: values = array.floatData
    case .float: values = numbers(array.rawData, UInt32.self).map { Float(bitPattern: $0) }
    case .double: values = numbers(array.rawData, UInt64.self).map { Float(Double(bitPattern: $0)) }
    case .float16: values = numbers(array.rawData, UInt16.self).map { Float(Float16(bitPattern: $0)) }
    case .bfloat16: values = numbers(array.rawData, UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
    default: throw refuse("has elements of type \(array.dataType), which isn't read")
    }
    guard values.count == count else { throw refuse("expects \(count) elements, got \(values.count)") }
    guard values.allSatisfy(\.isFinite) else {
      throw refuse("holds NaN or infinity, and weights must be finite")
    }
    return .floats(Tensor(shape: Shape(array.dims.map(Int.init)), values: values))
  }

  private static func numbers<Number: FixedWidthInteger & BitwiseCopyable>(
    _ data: Foundation.Data, _: Number.Type
  ) -> [Number] {
    let size = MemoryLayout<Number>.size
    return data.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count - bytes.count % size, by: size).map {
        Number(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Number.self))
      }
    }
  }
}
