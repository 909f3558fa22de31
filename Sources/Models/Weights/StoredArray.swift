import Tensors

/// An array as a file of weights holds it: elements of some type at strides of some bytes of the file.
package struct StoredArray: Sendable {
  package var name: String
  package let type: Safetensors.ElementType
  package var shape: Shape
  /// Of the file, for all elements that the array may reach.
  let bytes: Range<Int>
  /// Elements between neighbours along each axis; nil where they lie row by row.
  let strides: [Int]?

  /// Whether another program counts something with it that has no part in the network
  /// (`num_batches_tracked` of PyTorch's batch norms).
  package var isCounter: Bool { name.hasSuffix("num_batches_tracked") }
}

extension StoredArray {
  /// The elements in the order of the shape, as floats. What doesn't fit a float becomes infinite.
  func floats(in file: MappedFile) -> [Float] {
    let source = UnsafeRawBufferPointer(rebasing: file.bytes[bytes])
    switch type {
    case .float32: return gather(UInt32.self, source) { Float(bitPattern: $0) }
    case .float64: return gather(UInt64.self, source) { Float(Double(bitPattern: $0)) }
    case .float16: return gather(UInt16.self, source) { Float(Float16(bitPattern: $0)) }
    case .bfloat16: return gather(UInt16.self, source) { Float(bitPattern: UInt32($0) << 16) }
    case .int64: return gather(Int64.self, source) { Float($0) }
    case .int32: return gather(Int32.self, source) { Float($0) }
    case .int16: return gather(Int16.self, source) { Float($0) }
    case .int8: return gather(Int8.self, source) { Float($0) }
    case .uint8: return gather(UInt8.self, source) { Float($0) }
    case .bool: return gather(UInt8.self, source) { $0 == 0 ? 0 : 1 }
    }
  }

  private func gather<Stored: FixedWidthInteger & BitwiseCopyable>(
    _ type: Stored.Type, _ source: UnsafeRawBufferPointer, _ value: (Stored) -> Float
  ) -> [Float] {
    func element(_ index: Int) -> Float {
      value(
        Stored(
          littleEndian: source.loadUnaligned(
            fromByteOffset: index * MemoryLayout<Stored>.size, as: Stored.self)))
    }
    let count = shape.count
    guard let strides else { return (0..<count).map(element) }
    var position = Array(repeating: 0, count: shape.rank)
    var (values, index) = ([Float](), 0)
    values.reserveCapacity(count)
    for _ in 0..<count {
      values.append(element(index))
      for axis in position.indices.reversed() {
        position[axis] += 1
        index += strides[axis]
        guard position[axis] == shape[axis] else { break }
        index -= shape[axis] * strides[axis]
        position[axis] = 0
      }
    }
    return values
  }
}

/// A file of weights that can't be read, or isn't one.
package struct WeightsError: Error, Equatable, CustomStringConvertible {
  package let path: String
  package let problem: String

  package init(path: String, problem: String) { (self.path, self.problem) = (path, problem) }

  package var description: String { "\(path): \(problem)" }
}
