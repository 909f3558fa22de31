import CellData
import Collectives
import Tensors

/// The checkpoints of a running job: state lies on all ranks, files are rank 0's.
final class RunCheckpoints {
  private let job: TrainingJob
  /// On rank 0 only, for the arrays as they lie now.
  private var store: CheckpointStore? {
    job.directory.map {
      CheckpointStore(
        run: $0.path, layout: job.network.layout, mayLackState: job.stages.plan.stages[0].frozen)
    }
  }

  init(_ job: TrainingJob) { self.job = job }

  /// The state of a run before its first step.
  func initialState() throws -> CheckpointState {
    CheckpointState(
      epoch: 0, step: 0, stepInEpoch: 0, model: job.config.modelName, classes: job.data.dataset.classes,
      mean: job.data.normalisation.mean, deviation: job.data.normalisation.deviation,
      configHash: "\(try job.config.hash())", dataFingerprint: "\(job.data.dataset.fingerprint)",
      binding: job.place.binding.dictionary, weightsHash: "")
  }

  /// Collects what the ranks own of the optimizer's state and writes a checkpoint; its path on rank 0,
  /// nil on the others. Collective.
  func save(_ state: CheckpointState, isBest: Bool) throws -> String? {
    try job.step.settle()
    let slices = try job.communicator.gatherFloats(job.step.optimizer.stateOfSlices.flatMap { $0 })
    return try job.communicator.together {
      guard let store, let slices else { return nil }
      return try store.save(
        checkpoint(state, optimizerSlices: slices), isBest: isBest, keep: job.config.checkpoint.keep)
    }
  }

  private func checkpoint(_ state: CheckpointState, optimizerSlices slices: [[Float]]) -> Checkpoint {
    let extent = job.network.layout.extent
    let summed = job.network.layout.summedExtent
    let arrays = job.step.optimizer.stateNames.enumerated().map { number, name in
      var whole = Array(repeating: Float(0), count: extent)
      for (rank, values) in slices.enumerated() {
        let pieces = job.step.reducer.buckets.pieces(of: rank).map { $0.clamped(to: 0..<summed) }
        var rest = values[(number * pieces.reduce(0) { $0 + $1.count })...]
        for piece in pieces {
          whole.replaceSubrange(piece, with: rest.prefix(piece.count))
          rest = rest.dropFirst(piece.count)
        }
      }
      return Checkpoint.NamedArray(name: name, values: whole)
    }
    var state = state
    state.weightsHash = "\(WeightsHash.of(job.step.evaluated.pointer, layout: job.network.layout))"
    return Checkpoint(
      state: state, values: Array(job.step.values.values.prefix(extent)),
      averages: job.step.update.averages.map { Array($0.values.prefix(extent)) }, optimizer: arrays)
  }

  /// Loads the newest whole checkpoint on every rank; nil where the run has none yet. Collective.
  func loadNewest() throws -> (state: CheckpointState?, notices: [String]) {
    let names = job.step.optimizer.stateNames
    var loaded = try job.communicator.together { try store?.loadNewest(states: names) }
    struct Found: Codable {
      var state: CheckpointState?
      var notices: [String]
    }
    let found = try job.communicator.fromCoordinator {
      if let state = loaded?.checkpoint.state { try check(state) }
      let state = loaded?.checkpoint.state
      return Found(state: state, notices: (loaded?.notices ?? []) + (state.map(bindingNotices) ?? []))
    }
    guard let state = found.state else { return (nil, found.notices) }
    if try job.stages.enter(epoch: state.epoch) {
      // Arrays lie otherwise now, and more of them have a state.
      loaded = try job.communicator.together { try store?.loadNewest(states: names) }
    }
    try spread(loaded?.checkpoint.values) { try job.step.replaceValues(with: $0) }
    if job.step.update.averages != nil {
      // A run that begins to average does so from where it stands.
      try spread(loaded.map { $0.checkpoint.averages ?? $0.checkpoint.values }) {
        try job.step.replaceEvaluated(with: $0)
      }
    }
    let buffer = FloatBuffer(count: job.network.layout.extent)
    var whole: [[Float]] = []
    for number in names.indices {
      if let values = loaded?.checkpoint.optimizer[number].values {
        buffer.pointer.update(from: values, count: values.count)
      }
      try job.communicator.broadcastFloats(buffer, count: buffer.count)
      whole.append(buffer.values)
    }
    job.step.optimizer.load(state: whole)
    return (state, found.notices)
  }

  /// Puts the best weights in the place of those that are evaluated, where an evaluation has found any. Collective.
  func loadBest() throws {
    struct Known: Codable { var isThere: Bool }
    let layout = job.network.layout
    let best = try job.communicator.together {
      try store.flatMap { store in
        store.bestStep == nil
          ? nil : try CheckpointStore.weights(at: store.run + "/best", layout: layout).values
      }
    }
    if try job.communicator.fromCoordinator({ Known(isThere: best != nil) }).isThere {
      try spread(best) { try job.step.replaceEvaluated(with: $0) }
    }
  }

  private func spread(_ values: [Float]?, _ take: (FloatBuffer) throws -> Void) throws {
    let buffer = FloatBuffer(count: job.network.layout.extent)
    if let values { buffer.pointer.update(from: values, count: values.count) }
    try job.communicator.broadcastFloats(buffer, count: buffer.count)
    try take(buffer)
  }

  /// What the bits depend on and is no longer as it was.
  private func bindingNotices(_ state: CheckpointState) -> [String] {
    job.place.binding.entries.compactMap { name, value in
      guard let before = state.binding[name], before != value else { return nil }
      return "the run was trained with \(name) \(before) and goes on with \(value): "
        + "its weights will not be, bit for bit, those of a run without the change"
    }
  }

  private func check(_ state: CheckpointState) throws(RunError) {
    try RunError.requireClasses(state.classes, of: "the checkpoint", toBe: job.data.dataset.classes)
    guard state.dataFingerprint == "\(job.data.dataset.fingerprint)" else {
      throw RunError("the data has changed since the checkpoint was written: other files, labels or splits")
    }
  }
}
