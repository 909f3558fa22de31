import Foundation
import Layers
import Models
import Tensors

// weights-fuzzer SECONDS SEED FOLDER FILE…: see scripts/fuzz-weights.

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Dice {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { bound <= 0 ? 0 : Int(next() % UInt64(bound)) }
}

/// Breaks files of weights at random and reads what comes of it. Each case lies in a file before it is read, so
/// whatever kills this process is there. A reader may accept or throw; it may not trap, take long, or take more memory
/// than a few times the file.
struct WeightsFuzzer {
  /// Opcodes of pickles, known and unknown here, and numbers at the edges of their types.
  private static let opcodes =
    Array("\u{0}.(N)]}JKMGXcteasuqrhjQRbiobl02dp".utf8) + [0x80, 0x81, 0x85, 0x86, 0x87, 0x8A, 0x8B, 0x93]
  private static let edges: [UInt64] = [
    0, 1, 2, 127, 128, 255, 256, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, 1 << 62, .max,
  ]

  private let originals: [[UInt8]]
  /// Which some of the files fit.
  private let network: Network
  private var dice: Dice

  init(files: [String], seed: UInt64) throws {
    var builder = NetworkBuilder(input: FeatureShape(channels: 3, height: 4, width: 4))
    try builder.add("conv", Conv2d(outputChannels: 2, kernel: 1))
    try builder.add("bn", BatchNorm2d())
    try builder.add("gelu", GELU())
    try builder.add("pool", MaxPool2d(kernel: 2))
    try builder.add("means", AdaptiveAvgPool2d())
    try builder.add("fc", Linear(outputFeatures: 2))
    network = try builder.build()
    var export = ONNXExport(network, model: "tiny")
    export.normalisation = .init(mean: [0, 0.5, 1], deviation: [1, 2, 3], resizedSide: 8)
    let model = try export.encoded(network.initialValues(seed: 1), producerVersion: "fuzz")
    originals = try files.map { Array(try Data(contentsOf: URL(fileURLWithPath: $0))) } + [model]
    dice = Dice(state: seed)
  }

  /// Reads broken files for so long. Whether none took too long.
  mutating func run(seconds: Double, path: String) throws -> Bool {
    var (cases, accepted, slowest) = (0, 0, 0.0)
    let start = monotonicSeconds()
    while monotonicSeconds() - start < seconds {
      var bytes = originals[dice.below(originals.count)]
      for _ in 0...dice.below(6) { mutate(&bytes) }
      try DurableFile.write(bytes, to: path, waitingForDisk: false)
      // Of this process: what waits for others, or was stopped, is not slow.
      let begin = processorSeconds()
      if read(path) { accepted += 1 }
      cases += 1
      slowest = max(slowest, processorSeconds() - begin)
      guard slowest < 5 else { break }
    }
    print("\(cases) cases, \(accepted) accepted, the slowest in \(Int(1000 * slowest)) ms")
    return slowest < 5
  }

  private func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else { return }
    let at = dice.below(bytes.count)
    switch dice.below(9) {
    case 0: bytes[at] ^= 1 << UInt8(dice.below(8))
    case 1: bytes[at] = UInt8(truncatingIfNeeded: dice.next())
    case 2: bytes[at] = Self.opcodes[dice.below(Self.opcodes.count)]
    case 3, 4:
      let edge = Self.edges[dice.below(Self.edges.count)] &+ UInt64(dice.below(3)) &- 1
      for byte in 0..<(1 << dice.below(4)) where at + byte < bytes.count {
        bytes[at + byte] = UInt8(truncatingIfNeeded: edge >> UInt64(8 * byte))
      }
    case 5: bytes.removeSubrange(at..<min(bytes.count, at + 1 + dice.below(16)))
    case 6:
      let piece = Array(bytes[at..<min(bytes.count, at + 1 + dice.below(64))])
      bytes.insert(contentsOf: piece, at: dice.below(bytes.count))
    case 7: if dice.below(10) == 0 { bytes.removeSubrange(at...) }
    default:
      let other = originals[dice.below(originals.count)]
      let from = dice.below(other.count)
      let piece = Array(other[from..<min(other.count, from + 1 + dice.below(64))])
      bytes.replaceSubrange(at..<min(bytes.count, at + piece.count), with: piece)
    }
  }

  /// Reads a case as the commands would. Whether it was accepted.
  private func read(_ path: String) -> Bool {
    var accepted = false
    do {
      let file = try WeightsFile(path: path)
      for array in file.arrays { _ = try file.values(of: array) }
      accepted = true
      let values = FloatBuffer(count: network.layout.extent)
      _ = try WeightsFitting(match: .fitting).load(file, into: values, of: network)
    } catch {
      precondition(!"\(error)".isEmpty)
    }
    return (try? ONNXImport(path: path)) != nil || accepted
  }
}

func fuzz(_ arguments: [String]) throws -> Int32 {
  guard arguments.count > 4, let seconds = Double(arguments[1]), let seed = UInt64(arguments[2]) else {
    print("usage: weights-fuzzer SECONDS SEED FOLDER FILE…")
    return 2
  }
  var fuzzer = try WeightsFuzzer(files: Array(arguments[4...]), seed: seed)
  return try fuzzer.run(seconds: seconds, path: "\(arguments[3])/case") ? 0 : 1
}

exit(try fuzz(CommandLine.arguments))
