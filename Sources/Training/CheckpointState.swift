import Tensors

/// Where a run stands, beside its weights and its optimizer's state. There is no generator state:
/// random numbers are addressed by (seed, purpose, epoch, position).
package struct CheckpointState: Codable, Equatable, Sendable {
  /// Epoch of the next step, counted from 0.
  package var epoch: Int
  /// Finished steps of the run, and of the epoch.
  package var step: Int
  package var stepInEpoch: Int
  /// Sums over the finished steps of the epoch, for its report.
  package var epochImages = 0
  package var epochLossSum = 0.0
  package var epochCorrect = 0
  package var best = BestSoFar()
  package var plateau = PlateauState()
  package var model: String
  package var classes: [String]
  /// What the images are normalised with.
  package var mean: [Float]
  package var deviation: [Float]
  /// Fingerprints of what a resumed run is compared with.
  package var configHash: String
  package var dataFingerprint: String
  package var binding: [String: String]
  package var weightsHash: String

  package init(
    epoch: Int, step: Int, stepInEpoch: Int, model: String, classes: [String], mean: [Float],
    deviation: [Float],
    configHash: String, dataFingerprint: String, binding: [String: String], weightsHash: String
  ) {
    self.epoch = epoch
    self.step = step
    self.stepInEpoch = stepInEpoch
    self.model = model
    self.classes = classes
    self.mean = mean
    self.deviation = deviation
    self.configHash = configHash
    self.dataFingerprint = dataFingerprint
    self.binding = binding
    self.weightsHash = weightsHash
  }

  enum CodingKeys: String, CodingKey {
    case epoch, step
    case stepInEpoch = "step_in_epoch"
    case epochImages = "epoch_images"
    case epochLossSum = "epoch_loss_sum"
    case epochCorrect = "epoch_correct"
    case best, plateau, model, classes, mean, deviation
    case configHash = "config_hash"
    case dataFingerprint = "data_fingerprint"
    case binding
    case weightsHash = "weights_hash"
  }
}

/// All that a run continues from.
package struct Checkpoint: Equatable, Sendable {
  package var state: CheckpointState
  /// The flat values: parameters and running statistics (`layout.extent` floats).
  package var values: [Float]
  /// Their moving average (`ema.decay`); nil where none is kept.
  package var averages: [Float]?
  /// What the optimizer remembers, by `Optimizer.stateNames`, each of `layout.extent` floats.
  package var optimizer: [NamedArray]

  package struct NamedArray: Equatable, Sendable {
    package var name: String
    package var values: [Float]

    package init(name: String, values: [Float]) {
      self.name = name
      self.values = values
    }
  }

  package init(
    state: CheckpointState, values: [Float], averages: [Float]? = nil, optimizer: [NamedArray]
  ) {
    self.state = state
    self.values = values
    self.averages = averages
    self.optimizer = optimizer
  }
}

/// A checkpoint that can't be what was written.
package struct CheckpointError: Error, Equatable, CustomStringConvertible {
  package let path: String
  package let problem: String

  package var description: String { "\(path): \(problem)" }
}

/// The fingerprint of trained weights: name, shape and bytes, in PyTorch's order, of every parameter and
/// running statistic in the order of the layout. Equal hashes are equal bits.
package enum WeightsHash {
  package static func of(_ values: UnsafePointer<Float>, layout: FlatLayout) -> ContentHash {
    var hasher = ContentHasher()
    for entry in layout.entries {
      hasher.update("\(entry.name) \(entry.shape)\n")
      entry.array(in: values).withUnsafeBytes { hasher.update($0) }
    }
    return hasher.finish()
  }
}
