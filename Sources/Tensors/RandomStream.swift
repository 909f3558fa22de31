import CKernels
import Glibc

/// Random numbers that are addressed, not drawn: every number is a function of (seed, purpose,
/// epoch, position, index), so there is no generator state to save or to get out of step.
///
/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the
/// seed as key and the counter (block, position, epoch, purpose).
package struct RandomStream: Sendable {
  /// What the numbers are for. Raw values are part of what makes a run repeatable: never reuse one.
  package enum Purpose: Sendable, Equatable {
    case initialisation(array: Int)
    case shuffle
    case split
    case augmentation
    case dropout(layer: Int)
    case synthesis
    case recheck
    case reduction
    case stochasticDepth(layer: Int)
    case test(Int)

    var word: UInt32 {
      switch self {
      case .initialisation(let array): 1 << 24 | UInt32(array)
      case .shuffle: 2 << 24
      case .split: 3 << 24
      case .augmentation: 4 << 24
      case .dropout(let layer): 5 << 24 | UInt32(layer)
      case .synthesis: 6 << 24
      case .recheck: 8 << 24
      case .reduction: 9 << 24
      case .stochasticDepth(let layer): 10 << 24 | UInt32(layer)
      case .test(let number): 255 << 24 | UInt32(number)
      }
    }
  }

  /// The stream in the form that kernels take.
  package let philox: cnn_philox_stream

  package init(seed: UInt64, purpose: Purpose, epoch: Int = 0, position: Int = 0) {
    philox = cnn_philox_stream(
      key: (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)),
      counter: (UInt32(position), UInt32(epoch), purpose.word))
  }

  /// Random word `index` of the stream.
  package func word(at index: Int) -> UInt32 {
    var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { bytes in
      withUnsafePointer(to: philox) {
        cnn_philox_block($0, UInt32(index / 4), bytes.assumingMemoryBound(to: UInt32.self).baseAddress)
      }
    }
    switch index % 4 {
    case 0: return words.0
    case 1: return words.1
    case 2: return words.2
    default: return words.3
    }
  }

  /// Random words 4·index ..< 4·index + 4 of the stream at the price of one.
  package func words(ofBlock index: Int) -> SIMD4<UInt32> {
    var words = SIMD4<UInt32>()
    withUnsafeMutableBytes(of: &words) { bytes in
      withUnsafePointer(to: philox) {
        cnn_philox_block($0, UInt32(index), bytes.assumingMemoryBound(to: UInt32.self).baseAddress)
      }
    }
    return words
  }

  /// Uniform in [0, 1): the upper 24 bits of word `index`, over 2²⁴.
  package func uniform(at index: Int) -> Float { Float(word(at: index) >> 8) * 0x1p-24 }

  /// Uniform in 0 ..< bound (bound ≤ 2³²), by multiplication; the bias is below bound / 2³².
  package func integer(at index: Int, below bound: Int) -> Int {
    precondition(bound > 0 && bound <= 1 << 32, "a random integer expects a bound in 1 ... 2³², got \(bound)")
    return Int((UInt64(word(at: index)) * UInt64(bound)) >> 32)
  }

  /// Normal with mean 0 and variance 1 (Box–Muller over words 2·index and 2·index + 1).
  package func normal(at index: Int) -> Float {
    let u = (Double(word(at: 2 * index)) + 1) * 0x1p-32
    let v = Double(word(at: 2 * index + 1)) * 0x1p-32
    return Float((-2 * log(u)).squareRoot() * cos(2 * .pi * v))
  }

  /// The numbers 0 ..< count in random order (Fisher–Yates).
  package func permutation(count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(last, integer(at: last, below: last + 1))
    }
    return order
  }
}
