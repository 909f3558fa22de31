import Foundation
import Tensors

/// The checkpoints of a run directory: `checkpoints/step-XXXXXXXX/`, and the links `latest` and `best`.
///
/// A checkpoint is complete or absent, never half: its files are written and flushed under a temporary
/// name, which is then changed. `checksums.txt` holds the XXH3-128 of each file in the form of
/// `xxhsum -H2`, so that a flipped bit is noticed, here or by `xxhsum -c`.
package struct CheckpointStore: Sendable {
  package enum FileName {
    package static let weights = "weights.safetensors"
    /// Beside a moving average, which then stands in `weights`: what training goes on from.
    static let unaveraged = "unaveraged.safetensors"
    static let optimizer = "optimizer.safetensors"
    static let state = "state.json"
    static let checksums = "checksums.txt"
    /// Those that have a checksum.
    static let all = [weights, optimizer, state]
  }

  /// The run directory.
  package let run: String
  private let layout: FlatLayout
  /// The layers that were frozen when the run began: while they are, they have no optimizer state.
  private let mayLackState: Set<String>

  package init(run: String, layout: FlatLayout, mayLackState: Set<String> = []) {
    self.run = run
    self.layout = layout
    self.mayLackState = mayLackState
  }

  private var directory: String { run + "/checkpoints" }
  private static let temporary = ".tmp"
  private static let replaced = ".old"

  private static func name(ofStep step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
  }

  private static func step(ofName name: String) -> Int? {
    guard name.hasPrefix("step-") else { return nil }
    return Int(name.dropFirst(5)).flatMap { Self.name(ofStep: $0) == name ? $0 : nil }
  }

  /// The steps that have a checkpoint, oldest first.
  package func steps() throws(FileError) -> [Int] {
    try DirectoryTree.names(in: directory).compactMap(Self.step(ofName:)).sorted()
  }

  package func path(ofStep step: Int) -> String { "\(directory)/\(Self.name(ofStep: step))" }

  /// The step of the best checkpoint; nil where there is none.
  package var bestStep: Int? { linkedStep("best") }

  private func linkedStep(_ link: String) -> Int? {
    DirectoryTree.target(ofLink: "\(run)/\(link)").flatMap { target in
      target.split(separator: "/").last.flatMap { Self.step(ofName: String($0)) }
    }
  }
}

extension CheckpointStore {
  /// Writes a checkpoint, points `latest` (and `best`) at it, and removes all but the newest `keep` and the
  /// best. Throws `FileError`; the checkpoints before it are then as they were.
  @discardableResult
  package func save(_ checkpoint: Checkpoint, isBest: Bool, keep: Int) throws -> String {
    let path = path(ofStep: checkpoint.state.step)
    let temporary = path + Self.temporary
    try DirectoryTree.create(directory)
    try removeLeftovers()
    do {
      try DirectoryTree.create(temporary)
      try write(checkpoint, to: temporary)
      // A checkpoint of this step can be there already, whole or damaged; a directory can't be renamed
      // onto another that holds files.
      if DirectoryTree.exists(path) { try DirectoryTree.move(path, to: path + Self.replaced) }
      try DirectoryTree.move(temporary, to: path)
    } catch {
      try? DirectoryTree.remove(temporary)
      throw error
    }
    try DurableFile.flushDirectory(of: path)
    let target = "checkpoints/" + Self.name(ofStep: checkpoint.state.step)
    try DirectoryTree.link("\(run)/latest", to: target)
    if isBest { try DirectoryTree.link("\(run)/best", to: target) }
    try removeLeftovers()
    try prune(keep: keep, newest: checkpoint.state.step)
    return path
  }

  private func write(_ checkpoint: Checkpoint, to path: String) throws {
    let state = checkpoint.state
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    func weights(_ values: [Float]) -> [UInt8] {
      CheckpointArrays.weights(
        values, layout: layout, step: state.step, model: state.model, classes: state.classes
      ).encoded()
    }
    var files = [
      (FileName.weights, weights(checkpoint.averages ?? checkpoint.values)),
      (FileName.optimizer, CheckpointArrays.optimizer(checkpoint.optimizer, layout: layout).encoded()),
      (FileName.state, Array(try encoder.encode(state)) + [UInt8(ascii: "\n")]),
    ]
    if checkpoint.averages != nil { files.append((FileName.unaveraged, weights(checkpoint.values))) }
    for (name, bytes) in files { try DurableFile.write(bytes, to: "\(path)/\(name)") }
    let lines = files.map { name, bytes in "\(bytes.withUnsafeBytes { ContentHash($0) })  \(name)\n" }
    try DurableFile.write(Array(lines.joined().utf8), to: "\(path)/\(FileName.checksums)")
    try DurableFile.flushDirectory(of: "\(path)/\(FileName.checksums)")
  }

  /// Removes what a save that was cut off has left; what it was about to replace goes back.
  private func removeLeftovers() throws(FileError) {
    for name in try DirectoryTree.names(in: directory) {
      let path = "\(directory)/\(name)"
      if name.hasSuffix(Self.replaced) {
        let original = String(path.dropLast(Self.replaced.count))
        if DirectoryTree.exists(original) {
          try DirectoryTree.remove(path)
        } else {
          try DirectoryTree.move(path, to: original)
        }
      } else if name.hasSuffix(Self.temporary) {
        try DirectoryTree.remove(path)
      }
    }
  }

  private func prune(keep: Int, newest: Int) throws(FileError) {
    let kept = Set(try steps().suffix(keep)).union([newest, bestStep].compactMap(\.self))
    for step in try steps() where !kept.contains(step) { try DirectoryTree.remove(path(ofStep: step)) }
  }
}

extension CheckpointStore {
  /// The newest checkpoint that is whole, and a notice for each newer one that is damaged. nil where
  /// the run has none. Throws where all are damaged, or where the newest whole one is of another model
  /// or optimizer.
  package func loadNewest(states: [String]) throws -> (checkpoint: Checkpoint, notices: [String])? {
    let steps = try steps()
    var notices: [String] = []
    for step in steps.reversed() {
      let path = path(ofStep: step)
      do {
        try Self.verify(path)
      } catch {
        notices.append("\(error); falling back to the checkpoint before it")
        continue
      }
      return (try load(path, states: states), notices)
    }
    guard steps.isEmpty else {
      throw CheckpointError(
        path: directory, problem: "all \(steps.count) checkpoints are damaged; the newest: \(notices[0])")
    }
    return nil
  }

  /// Reads a checkpoint that `verify` has found whole.
  private func load(_ path: String, states: [String]) throws -> Checkpoint {
    func weights(_ name: String) throws -> [Float] {
      try CheckpointArrays.weights(in: Safetensors.Reader(path: "\(path)/\(name)"), layout: layout)
    }
    let evaluated = try weights(FileName.weights)
    let unaveraged =
      DirectoryTree.exists("\(path)/\(FileName.unaveraged)") ? try weights(FileName.unaveraged) : nil
    let optimizer = try Safetensors.Reader(path: "\(path)/\(FileName.optimizer)")
    return Checkpoint(
      state: try Self.state(of: path), values: unaveraged ?? evaluated,
      averages: unaveraged == nil ? nil : evaluated,
      optimizer: try CheckpointArrays.optimizer(
        in: optimizer, states: states, layout: layout, mayLack: mayLackState))
  }

  /// Weights and state of a checkpoint directory (`RUN/best`, say), checked. A damaged one is an error:
  /// whoever asks for these weights must not get others.
  package static func weights(at path: String, layout: FlatLayout) throws -> (
    state: CheckpointState, values: [Float]
  ) {
    let state = try verifiedState(at: path)
    let file = try Safetensors.Reader(path: "\(path)/\(FileName.weights)")
    return (state, try CheckpointArrays.weights(in: file, layout: layout))
  }

  /// The state alone, before anyone knows the model.
  package static func verifiedState(at path: String) throws -> CheckpointState {
    try verify(path)
    return try state(of: path)
  }

  private static func state(of path: String) throws -> CheckpointState {
    let file = "\(path)/\(FileName.state)"
    do {
      return try JSONDecoder().decode(CheckpointState.self, from: Data(try DirectoryTree.contents(of: file)))
    } catch let error as DecodingError {
      throw CheckpointError(path: file, problem: "not the state of a checkpoint of this version (\(error))")
    }
  }

  /// Compares every file with its checksum. Throws `CheckpointError` or `FileError`.
  package static func verify(_ path: String) throws {
    let list = "\(path)/\(FileName.checksums)"
    let text = String(decoding: try DirectoryTree.contents(of: list), as: UTF8.self)
    var expected: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: " ", omittingEmptySubsequences: true)
      guard parts.count == 2 else {
        throw CheckpointError(path: list, problem: "damaged: can't read \"\(line)\"")
      }
      expected[String(parts[1])] = String(parts[0])
    }
    for name in FileName.all + expected.keys.filter({ $0 == FileName.unaveraged }) {
      let file = "\(path)/\(name)"
      guard let wanted = expected[name] else {
        throw CheckpointError(path: list, problem: "damaged: lacks \(name)")
      }
      let found = try DirectoryTree.contents(of: file).withUnsafeBytes { ContentHash($0) }
      guard found.description == wanted else {
        throw CheckpointError(path: file, problem: "damaged: its checksum is \(found), expected \(wanted)")
      }
    }
  }
}
