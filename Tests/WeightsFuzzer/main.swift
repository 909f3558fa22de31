import Foundation
import Layers
import Models
import Tensors

// weights-fuzzer SECONDS SEED FOLDER FILE…: breaks files of weights at random and reads what comes of it, for
// scripts/fuzz-weights. Each case lies in FOLDER before it is read, so whatever kills this process is there. A reader
// may accept or throw; it may not trap, take long, or take more memory than a few times the file.

let arguments = CommandLine.arguments
guard arguments.count > 4, let seconds = Double(arguments[1]), let seed = UInt64(arguments[2]) else {
  print("usage: weights-fuzzer SECONDS SEED FOLDER FILE…")
  exit(2)
}
let folder = arguments[3]

/// A network that some of the files fit, and a model of it to break.
var builder = NetworkBuilder(input: FeatureShape(channels: 3, height: 4, width: 4))
try builder.add("conv", Conv2d(outputChannels: 2, kernel: 1))
try builder.add("bn", BatchNorm2d())
try builder.add("gelu", GELU())
try builder.add("pool", MaxPool2d(kernel: 2))
try builder.add("means", AdaptiveAvgPool2d())
try builder.add("fc", Linear(outputFeatures: 2))
let network = try builder.build()
var export = ONNXExport(network, model: "tiny")
export.normalisation = .init(mean: [0, 0.5, 1], deviation: [1, 2, 3], resizedSide: 8)
let model = try export.encoded(network.initialValues(seed: 1), producerVersion: "fuzz")

var originals = try arguments.dropFirst(4).map { Array(try Data(contentsOf: URL(fileURLWithPath: $0))) }
originals.append(model)

/// Huge shapes must be refused, not allocated.
var limit = rlimit(rlim_cur: 4 << 30, rlim_max: 4 << 30)
guard setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else {
  print("can't limit the memory")
  exit(2)
}

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

/// Opcodes of pickles, known and unknown here, and numbers at the edge of their types.
let opcodes =
  Array("\u{0}.(N)]}JKMGXcteasuqrhjQRbiobl02dp".utf8) + [0x80, 0x81, 0x85, 0x86, 0x87, 0x8A, 0x8B, 0x93]
let edges: [UInt64] = [
  0, 1, 2, 127, 128, 255, 256, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, 1 << 62, .max,
]

func mutate(_ bytes: inout [UInt8], _ dice: inout Dice) {
  guard !bytes.isEmpty else { return }
  let at = dice.below(bytes.count)
  switch dice.below(9) {
  case 0: bytes[at] ^= 1 << UInt8(dice.below(8))
  case 1: bytes[at] = UInt8(truncatingIfNeeded: dice.next())
  case 2: bytes[at] = opcodes[dice.below(opcodes.count)]
  case 3, 4:
    let edge = edges[dice.below(edges.count)] &+ UInt64(dice.below(3)) &- 1
    for byte in 0..<(1 << dice.below(4)) where at + byte < bytes.count {
      bytes[at + byte] = UInt8(truncatingIfNeeded: edge >> UInt64(8 * byte))
    }
  case 5: bytes.removeSubrange(at..<min(bytes.count, at + 1 + dice.below(16)))
  case 6:
    bytes.insert(
      contentsOf: bytes[at..<min(bytes.count, at + 1 + dice.below(64))], at: dice.below(bytes.count))
  case 7: bytes.removeSubrange(dice.below(10) == 0 ? at... : bytes.count...)
  default:
    let other = originals[dice.below(originals.count)]
    let from = dice.below(other.count)
    let piece = other[from..<min(other.count, from + 1 + dice.below(64))]
    bytes.replaceSubrange(at..<min(bytes.count, at + piece.count), with: piece)
  }
}

/// Reads a case as every command would. Whether it was accepted.
func read(_ path: String) -> Bool {
  var accepted = false
  do {
    let file = try WeightsFile(path: path)
    accepted = true
    for array in file.arrays { _ = try file.values(of: array) }
    let values = FloatBuffer(count: network.layout.extent)
    _ = try WeightsFitting(match: .fitting).load(file, into: values, of: network)
  } catch {
    precondition(!"\(error)".isEmpty)
  }
  return (try? ONNXImport(path: path)) != nil || accepted
}

var dice = Dice(state: seed)
var (cases, accepted, slowest) = (0, 0, 0.0)
let path = "\(folder)/case"
let start = monotonicSeconds()
while monotonicSeconds() - start < seconds {
  var bytes = originals[dice.below(originals.count)]
  for _ in 0...dice.below(6) { mutate(&bytes, &dice) }
  try DurableFile.write(bytes, to: path, waitingForDisk: false)
  let begin = monotonicSeconds()
  if read(path) { accepted += 1 }
  let time = monotonicSeconds() - begin
  slowest = max(slowest, time)
  guard time < 5 else {
    print("a case took \(time) s")
    exit(1)
  }
  cases += 1
}
print("\(cases) cases, \(accepted) accepted, the slowest in \(Int(1000 * slowest)) ms")
