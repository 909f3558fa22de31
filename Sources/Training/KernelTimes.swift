import Collectives
import Foundation
import Layers
import Models
import Tensors

/// Which algorithms `bench kernels --tune` has found to be fastest, by shape, number of images, instruction set and
/// CPU, kept from run to run in a file of the user's (`UserCache`, `kernels.json`).
package struct KernelTimes: Codable, Equatable, Sendable {
  package struct Entry: Codable, Equatable, Sendable {
    package let shape: String
    /// In a call.
    package let images: Int
    package let isa: String
    package let cpu: String
    /// `PassAlgorithms`.
    package let algorithms: String

    package init(
      _ shape: ConvolutionShape, isa: InstructionSet, cpu: String, algorithms: PassAlgorithms
    ) {
      self.shape = shape.key
      images = shape.n
      self.isa = isa.rawValue
      self.cpu = cpu
      self.algorithms = algorithms.description
    }
  }

  private var format = Self.formatName
  private static let formatName = "cnn-dist kernel times 1"
  package private(set) var entries: [Entry] = []

  package init() {}

  package static var path: String { UserCache.path("kernels.json") }

  /// What a file holds; nothing where there is none. Throws `FileError` where it is something else.
  package init(path: String) throws(FileError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw FileError(path: path, cannot: "read")
    }
    guard let read = try? JSONDecoder().decode(KernelTimes.self, from: data),
      read.format == Self.formatName, read.entries.allSatisfy({ PassAlgorithms($0.algorithms) != nil })
    else { throw FileError(path: path, problem: "damaged: not what bench kernels --tune writes") }
    self = read
  }

  package func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    try DurableFile.replace(path, with: Array(try encoder.encode(self)) + [10])
  }

  /// Takes in an entry, in the place of an older one of the same thing.
  package mutating func insert(_ new: Entry) {
    entries.removeAll {
      ($0.shape, $0.images, $0.isa, $0.cpu) == (new.shape, new.images, new.isa, new.cpu)
    }
    entries.append(new)
  }

  /// The algorithms for a shape as measured with the number of images nearest to `shape.n`, of two the larger.
  package func algorithms(for shape: ConvolutionShape, isa: InstructionSet, cpu: String) -> PassAlgorithms? {
    let key = shape.key
    let known = entries.filter { ($0.shape, $0.isa, $0.cpu) == (key, isa.rawValue, cpu) }
    let nearest = known.min {
      (abs($0.images - shape.n), -$0.images) < (abs($1.images - shape.n), -$1.images)
    }
    return nearest.flatMap { PassAlgorithms($0.algorithms) }
  }
}

/// The algorithms that a run begins with where `engine.convolution` is `tuned`, the same on all ranks and at any
/// number of them.
package struct TunedAlgorithms: Codable, Equatable, Sendable {
  /// Of every convolution and linear layer.
  package let layers: [LayerAlgorithms]
  /// For the log.
  package let notice: String

  /// Looks up the layers of `network` in the file at `path`, for microbatches of `images` images: waves depend on
  /// lanes, which mustn't decide over bits.
  package init(
    _ network: Network, images: Int, kernels: InstructionSet, path: String = KernelTimes.path,
    cpu: String = CPUModel.name
  ) throws(NetworkError) {
    var times = KernelTimes()
    var complaint: String?
    do throws(FileError) {
      times = try KernelTimes(path: path)
    } catch {
      complaint = "\(error)"
    }
    let convolutions = network.convolutions(images: images)
    let measured = convolutions.compactMap { name, shape in
      times.algorithms(for: shape, isa: kernels, cpu: cpu).map {
        LayerAlgorithms(layer: name, algorithms: $0)
      }
    }
    // What can't be is of no use: of another version of the program, say.
    let usable = measured.filter { (try? network.computing(by: .tuned, measured: [$0])) != nil }
    layers = try network.computing(by: .tuned, measured: usable).chosenAlgorithms(kernels)
    let others = Set(times.entries.map(\.cpu)).subtracting([cpu]).sorted()
    if complaint == nil, measured.isEmpty, let other = others.first {
      complaint = "\(path): measured on another CPU (\(other); this is \(cpu))"
    }
    if let complaint {
      notice = "\(complaint): ignored, algorithms by the rule"
    } else {
      notice =
        "algorithms of \(usable.count) of \(convolutions.count) layers by measured times"
        + (usable.count < convolutions.count ? ", of the others by the rule (bench kernels --tune)" : "")
    }
  }
}

extension RunConfig {
  /// With the algorithms that rank 0 finds for `tuned`, unless the configuration has them already; and what to tell
  /// about it. Collective.
  func choosingAlgorithms(
    classes: Int, kernels: InstructionSet, _ communicator: Communicator
  ) throws -> (RunConfig, notice: String?) {
    guard engine.convolution == .tuned, engine.algorithms.isEmpty else { return (self, nil) }
    let found = try communicator.fromCoordinator {
      try TunedAlgorithms(
        network(classes: classes), images: training.microbatch, kernels: kernels)
    }
    var config = self
    config.engine.algorithms = found.layers
    return (config, found.notice)
  }
}

extension Network {
  /// A network of the zoo to measure with; with `tuned`, by what rank 0 finds for microbatches of `images`.
  /// Collective.
  static func toMeasure(
    _ model: String, input: FeatureShape, classes: Int, by choice: ConvolutionChoice,
    in precision: Precision, images: Int, kernels: InstructionSet, _ communicator: Communicator
  ) throws -> Network {
    let network = try communicator.together {
      try ModelZoo.network(model, input: input, options: .init(classes: classes))
    }
    let found =
      choice == .tuned
      ? try communicator.fromCoordinator { try TunedAlgorithms(network, images: images, kernels: kernels) }
      : nil
    return try communicator.together {
      try network.computing(by: choice, in: precision, measured: found?.layers ?? [])
    }
  }
}
