import Tensors

/// Bits of weights or optimizer state that changed although nobody wrote them.
package struct MemoryFault: Error, Equatable, CustomStringConvertible {
  package enum Memory: Equatable, Sendable {
    case weights
    /// Of the optimizer, by the state's name, or the weights' moving average.
    case state(String)
    /// Of weights that another rank owns, for the ranks of this node.
    case copy
  }

  package let step: Int
  package let rank: Int
  package let memory: Memory
  package let array: String

  package var description: String {
    let what =
      switch memory {
      case .weights: "\(array), which rank \(rank) owns,"
      case .state(let name): "\(name) of \(array), which rank \(rank) owns,"
      case .copy: "\(array), of which rank \(rank) holds a copy,"
      }
    return
      "step \(step): \(what) has changed in its memory. A fault of the hardware? "
      + "No checkpoint holds it; --resume goes on from the last, better on another host"
  }
}

/// Watches what lies in a rank's memory from one step to the next: a hash (XXH3-64) of each array's part in each
/// piece, so that a fault has a name. A piece is remembered by the lane that has just written it and checked by
/// the one that is about to overwrite it, with the piece in its cache both times.
final class MemoryGuard: @unchecked Sendable {
  /// Part of an array in a piece: its weights, or what is kept of them.
  private struct Part {
    let array: String
    let memory: MemoryFault.Memory
    let floats: UnsafeBufferPointer<Float>

    var hash: UInt64 { FastHash.of(UnsafeRawBufferPointer(floats)) }
  }

  private struct Piece {
    let parts: Range<Int>
    var isKnown = false
  }

  private let parts: [Part]
  /// By where a piece begins in the flat buffer.
  private let numbers: [Int: Int]
  /// A piece and its hashes belong to the lane that works on it.
  private let pieces: UnsafeMutableBufferPointer<Piece>
  private let hashes: UnsafeMutableBufferPointer<UInt64>

  /// - Parameters:
  ///   - update: what this rank owns, and keeps state of.
  ///   - copies: the pieces of others that it holds for its node.
  init(layout: FlatLayout, values: FloatBuffer, update: WeightUpdate, copies: [Range<Int>]) {
    var (parts, pieces, numbers) = ([Part](), [Piece](), [Int: Int]())
    func watch(_ piece: Range<Int>, _ memories: (Range<Int>, _ isParameter: Bool) -> [MemoryPlace]) {
      let first = parts.count
      for (index, entry) in layout.entries.enumerated() where entry.range.overlaps(piece) {
        let part = entry.range.clamped(to: piece)
        for (memory, start) in memories(part, index < layout.parameters.count) {
          let floats = UnsafeBufferPointer(start: UnsafePointer(start), count: part.count)
          parts.append(Part(array: entry.name, memory: memory, floats: floats))
        }
      }
      numbers[piece.lowerBound] = pieces.count
      pieces.append(Piece(parts: first..<parts.count))
    }
    let optimizer = update.optimizer
    for slice in optimizer.slices where !slice.isEmpty {
      watch(slice) { part, isParameter in
        let states = isParameter ? Array(zip(optimizer.stateNames, optimizer.states(of: part))) : []
        return [(.weights, values.pointer + part.lowerBound)] + states.map { (.state($0), $1) }
          + (update.averages.map { [(.state("average"), $0.pointer + part.lowerBound)] } ?? [])
      }
    }
    for copy in copies where !copy.isEmpty {
      watch(copy) { part, _ in [(.copy, values.pointer + part.lowerBound)] }
    }
    self.parts = parts
    self.numbers = numbers
    self.pieces = .allocate(capacity: pieces.count)
    _ = self.pieces.initialize(from: pieces)
    hashes = .allocate(capacity: parts.count)
    hashes.initialize(repeating: 0)
  }

  deinit {
    pieces.deallocate()
    hashes.deallocate()
  }

  private typealias MemoryPlace = (MemoryFault.Memory, UnsafeMutablePointer<Float>)

  /// What has changed in a piece since it was remembered: its first array, by the layout.
  func fault(in piece: Range<Int>) -> (memory: MemoryFault.Memory, array: String)? {
    guard let number = numbers[piece.lowerBound], pieces[number].isKnown else { return nil }
    guard let part = pieces[number].parts.first(where: { hashes[$0] != parts[$0].hash }) else { return nil }
    return (parts[part].memory, parts[part].array)
  }

  /// A piece is as it should be: it was just written.
  func remember(_ piece: Range<Int>) {
    guard let number = numbers[piece.lowerBound] else { return }
    for part in pieces[number].parts { hashes[part] = parts[part].hash }
    pieces[number].isKnown = true
  }

  /// Somebody else wrote everything.
  func forget() {
    for number in pieces.indices { pieces[number].isKnown = false }
  }
}
