import Collectives
import Foundation
import Tensors

/// Values that ranks hand each other before and after the steps, as JSON.
extension Communicator {
  /// Rank 0 makes a value and every rank gets it. Where making it throws, all throw (`together`).
  package func fromCoordinator<Value: Codable>(_ make: () throws -> Value) throws -> Value {
    guard size > 1 else { return try make() }
    let made = try together { try rank == 0 ? make() : nil }
    if let made {
      _ = try broadcast(Array(try JSONEncoder().encode(made)))
      return made
    }
    return try JSONDecoder().decode(Value.self, from: Foundation.Data(try broadcast([])))
  }

  /// Every rank's value, in rank order.
  package func exchange<Value: Codable>(_ value: Value) throws -> [Value] {
    guard size > 1 else { return [value] }
    return try allGather(Array(try JSONEncoder().encode(value))).map {
      try JSONDecoder().decode(Value.self, from: Foundation.Data($0))
    }
  }

  /// Rank 0's floats, in place on every rank.
  package func broadcastFloats(_ buffer: FloatBuffer, count: Int) throws {
    try broadcast(
      UnsafeMutableRawBufferPointer(start: buffer.pointer, count: count * MemoryLayout<Float>.stride))
  }

  /// The floats of all ranks, one rank after another, on rank 0; nil elsewhere.
  package func gatherFloats(_ values: [Float]) throws -> [[Float]]? {
    guard size > 1 else { return [values] }
    return try gather(values.withUnsafeBytes { Array($0) })?.map { bytes in
      bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
  }
}
