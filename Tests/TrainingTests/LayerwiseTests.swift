import Collectives
import Tensors
import Testing
import Training

/// LARS, LAMB, clipping and the moving average: what needs norms, or follows the update.
@Suite struct LayerwiseTests {
  /// The arrays that `Golden/layerwise.py` trains.
  static let layout = FlatLayout(
    parameters: [
      .init("conv.weight", [24, 50], .weight), .init("conv.bias", [13], .bias),
      .init("norm.weight", [15], .normScale),
      .init("norm.bias", [15], .normShift),
    ],
    statistics: [.init("norm.running_mean", [15], .runningMean)])

  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let config: OptimizerConfig
    var testDescription: String { name }

    init(_ name: String, _ change: (inout OptimizerConfig) -> Void) {
      var config = OptimizerConfig()
      (config.name, config.learningRate, config.weightDecay) = (.sgd, 0.05, 0)
      (config.epsilon, config.trustCoefficient) = (1e-6, 0.1)
      change(&config)
      self.name = name
      self.config = config
    }
  }

  static let cases = [
    Case("lars") { $0.name = .lars },
    Case("lars_momentum") { ($0.name, $0.momentum, $0.weightDecay) = (.lars, 0.9, 5e-3) },
    Case("lars_all") {
      ($0.name, $0.momentum, $0.weightDecay, $0.adaptBiasesAndNorms) = (.lars, 0.9, 5e-3, true)
    },
    Case("lars_clipped") {
      ($0.name, $0.momentum, $0.weightDecay, $0.clipNorm) = (.lars, 0.9, 5e-3, 2)
    },
    Case("lamb") { ($0.name, $0.learningRate) = (.lamb, 0.01) },
    Case("lamb_decay") {
      ($0.name, $0.learningRate, $0.weightDecay, $0.adaptBiasesAndNorms) = (.lamb, 0.01, 0.05, true)
      ($0.beta1, $0.beta2) = (0.8, 0.95)
    },
    Case("clip_value") { $0.clipValue = 0.3 },
    Case("clip_norm") { $0.clipNorm = 2 },
    Case("clip_both") { ($0.clipValue, $0.clipNorm) = (0.3, 2) },
    Case("average") { _ in },
  ]

  /// Values one after another, as the golden file has them, into the flat buffer.
  private static func spread(_ dense: ArraySlice<Float>, times factor: Float = 1) -> FloatBuffer {
    let flat = FloatBuffer(count: layout.extent)
    for (place, value) in zip(layout.parameters.flatMap(\.range), dense) { flat[place] = value * factor }
    return flat
  }

  /// What 50 steps of the golden file end with.
  private static func trained(
    _ config: OptimizerConfig, averageDecay: Double = 0, lanes: Int = 1, kernels: InstructionSet = .detected,
    slices: [Range<Int>] = [0..<layout.extent]
  ) throws -> (values: [Float], states: [[Float]], averages: [Float]?) {
    let file = try Safetensors.Reader(path: golden("layerwise.safetensors"))
    let gradients = try file.tensor("gradients")
    let (rows, count) = (gradients.shape[0], gradients.shape[1])
    let values = spread(try file.tensor("initial").values[...])
    let update = WeightUpdate(
      config, averageDecay: averageDecay, layout: layout, slices: slices, values: values,
      communicator: try Communicator.start(environment: [:]), team: ThreadTeam(count: lanes), kernels: kernels
    )
    for step in 0..<50 {
      let row = gradients.values[(step % rows * count)..<((step % rows + 1) * count)]
      let gradient = spread(row, times: [1, 0.5, 0.25][step / rows % 3])
      try update.applyAll(
        values: values, gradients: gradient, learningRate: config.learningRate, stepNumber: step + 1)
    }
    return (values.values, update.optimizer.stateOfSlices, update.averages?.values)
  }

  /// The error of each array as a share of its movement.
  private static func errors(_ flat: [Float], _ name: String) throws -> [(array: String, error: Double)] {
    let file = try Safetensors.Reader(path: golden("layerwise.safetensors"))
    let expected = spread(try file.tensor(name).values[...])
    let initial = spread(try file.tensor("initial").values[...])
    return layout.parameters.map { parameter in
      func distance(_ a: (Int) -> Float) -> Double {
        parameter.range.reduce(0) { $0 + Double(a($1) - expected[$1]) * Double(a($1) - expected[$1]) }
          .squareRoot()
      }
      return (parameter.name, distance { flat[$0] } / distance { initial[$0] })
    }
  }

  @Test(arguments: cases) func fiftyStepsFollowTheFormulas(test: Case) throws {
    let values = try Self.trained(test.config).values
    for (array, error) in try Self.errors(values, "\(test.name)/values") {
      #expect(error < 1e-6, "\(array)")
    }
  }

  @Test func theAverageFollowsAndLeavesTheWeightsAlone() throws {
    let config = Self.cases.last?.config ?? OptimizerConfig()
    let averaged = try Self.trained(config, averageDecay: 0.9)
    #expect(averaged.values == (try Self.trained(config).values))
    let averages = try #require(averaged.averages)
    for (array, error) in try Self.errors(averages, "average/averages") { #expect(error < 1e-6, "\(array)") }
    #expect(try Self.trained(config).averages == nil)
  }

  @Test(arguments: cases) func lanesAndInstructionSetsChangeNoBit(test: Case) throws {
    let whole = try Self.trained(test.config, averageDecay: 0.99, kernels: .ref)
    for kernels in InstructionSet.allCases where kernels <= .detected {
      for lanes in 1...3 {
        let other = try Self.trained(test.config, averageDecay: 0.99, lanes: lanes, kernels: kernels)
        #expect(other == whole, "\(kernels), \(lanes) lane(s)")
      }
    }
  }

  /// As a rank owns its pieces of the buckets, tail first.
  @Test(arguments: cases) func slicesChangeNoBit(test: Case) throws {
    let whole = try Self.trained(test.config, averageDecay: 0.99)
    let chunk = FlatLayout.chunk
    let pieces = [chunk..<Self.layout.extent, 0..<chunk]
    for lanes in 1...2 {
      let other = try Self.trained(test.config, averageDecay: 0.99, lanes: lanes, slices: pieces)
      #expect(other.values == whole.values && other.averages == whole.averages, "\(lanes) lane(s)")
      for (state, expected) in zip(other.states, whole.states) {
        #expect(state == Array(expected[chunk...]) + Array(expected[..<chunk]))
      }
    }
  }

  @Test func aSmallGradientIsNotLengthened() throws {
    var config = Self.cases[0].config
    config.name = .sgd
    let plain = try Self.trained(config).values
    config.clipNorm = 1000
    config.clipValue = 1000
    #expect(try Self.trained(config).values == plain)
  }

  /// Without weights there is no ratio: the plain rate moves them off zero.
  @Test(arguments: [OptimizerConfig.Name.lars, .lamb]) func zeroWeightsMoveAtThePlainRate(
    name: OptimizerConfig.Name
  ) throws {
    var config = OptimizerConfig()
    (config.name, config.weightDecay) = (name, 0)
    let values = FloatBuffer(count: Self.layout.extent)
    let gradient = FloatBuffer(Array(repeating: 2, count: Self.layout.extent))
    let update = WeightUpdate(
      config, layout: Self.layout, slices: [0..<Self.layout.extent], values: values,
      communicator: try Communicator.start(environment: [:]), team: ThreadTeam(count: 1), kernels: .detected)
    try update.applyAll(values: values, gradients: gradient, learningRate: 0.5, stepNumber: 1)
    let moved = Self.layout.parameters.flatMap(\.range).map { values[$0] }
    let expected: Float = name == .lars ? -1 : -0.5
    #expect(moved.allSatisfy { abs($0 - expected) < 1e-6 })
    #expect(values[Self.layout.statistics[0].offset] == 0, "statistics are no weights")
  }
}

extension WeightUpdate {
  /// A whole step, slice by slice.
  func applyAll(
    values: FloatBuffer, gradients: FloatBuffer, learningRate: Double, stepNumber: Int
  ) throws {
    if Self.needsNorms(optimizer.config) {
      try prepare(values: values.pointer, gradients: gradients.pointer, stepNumber: stepNumber)
    }
    for slice in optimizer.slices {
      apply(
        slice, values: values.pointer, gradients: gradients.pointer, learningRate: learningRate,
        stepNumber: stepNumber)
      followValues(values.pointer, in: slice)
    }
  }
}
