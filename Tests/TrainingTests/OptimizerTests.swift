import Tensors
import Testing
import Training

@Suite struct OptimizerTests {
  /// The arrays that `Golden/optimizers.py` trains.
  static let layout = FlatLayout(
    parameters: [
      .init("conv.weight", [7, 11], .weight), .init("conv.bias", [13], .bias),
      .init("norm.weight", [15], .normScale), .init("norm.bias", [15], .normShift),
    ],
    statistics: [
      .init("norm.running_mean", [15], .runningMean), .init("norm.running_var", [15], .runningVariance),
    ])

  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let config: OptimizerConfig
    var testDescription: String { name }

    init(_ name: String, _ change: (inout OptimizerConfig) -> Void) {
      var config = RunConfig().optimizer
      config.weightDecay = 0
      change(&config)
      self.name = name
      self.config = config
    }
  }

  static let cases = [
    Case("sgd") { ($0.name, $0.learningRate) = (.sgd, 0.05) },
    Case("sgd_momentum") {
      ($0.name, $0.learningRate, $0.momentum, $0.weightDecay) = (.sgd, 0.05, 0.9, 5e-4)
    },
    Case("sgd_nesterov") {
      ($0.name, $0.learningRate, $0.momentum, $0.weightDecay, $0.nesterov) = (.sgd, 0.05, 0.9, 5e-4, true)
    },
    Case("sgd_l1") { ($0.name, $0.learningRate, $0.momentum, $0.l1) = (.sgd, 0.05, 0.9, 0.01) },
    Case("sgd_no_decay") {
      ($0.name, $0.learningRate, $0.weightDecay, $0.decayBiasesAndNorms) = (.sgd, 0.05, 0.1, false)
    },
    Case("adam") { $0.name = .adam },
    Case("adam_decay") {
      ($0.name, $0.weightDecay, $0.beta1, $0.beta2, $0.epsilon) = (.adam, 0.01, 0.8, 0.95, 1e-6)
    },
    Case("adam_forgetful") { ($0.name, $0.beta1, $0.beta2) = (.adam, 0.3, 0.9) },
    Case("adamw") { ($0.name, $0.weightDecay) = (.adamw, 0.01) },
    Case("adamw_scheduled") { ($0.name, $0.weightDecay) = (.adamw, 0.05) },
    Case("rmsprop") { $0.name = .rmsprop },
    Case("rmsprop_momentum") {
      ($0.name, $0.alpha, $0.momentum, $0.weightDecay) = (.rmsprop, 0.9, 0.9, 0.01)
    },
    Case("rmsprop_centered") { ($0.name, $0.centered, $0.epsilon) = (.rmsprop, true, 1e-6) },
    Case("rmsprop_centered_momentum") { ($0.name, $0.centered, $0.momentum) = (.rmsprop, true, 0.5) },
  ]

  /// Values one after another, as the golden file has them, into the flat buffer, and back.
  private static func spread(_ dense: ArraySlice<Float>) -> [Float] {
    var flat = Array(repeating: Float(0), count: layout.extent)
    var next = dense.startIndex
    for parameter in layout.parameters {
      for index in parameter.range {
        flat[index] = dense[next]
        next += 1
      }
    }
    return flat
  }

  private static func gather(_ flat: [Float]) -> [Float] { layout.parameters.flatMap { flat[$0.range] } }

  private static func rate(_ test: Case, step: Int, of steps: Int) -> Double {
    test.name == "adamw_scheduled"
      ? test.config.learningRate * Double(step) / Double(steps) : test.config.learningRate
  }

  /// Values and states after the golden file's steps, computed in slices that end at `cuts`.
  private static func trained(_ test: Case, cuts: [Int] = [], kernels: InstructionSet = .detected) throws -> (
    values: [Float], states: [[Float]]
  ) {
    let file = try Safetensors.Reader(path: golden("optimizers.safetensors"))
    let gradients = try file.tensor("gradients")
    let (steps, count) = (gradients.shape[0], gradients.shape[1])
    let values = FloatBuffer(spread(try file.tensor("initial").values[...]))
    let borders = [0] + cuts + [layout.extent]
    let optimizers = zip(borders, borders.dropFirst()).map {
      Optimizer(test.config, layout: layout, slices: [$0..<$1], kernels: kernels)
    }
    for step in 1...steps {
      let gradient = FloatBuffer(spread(gradients.values[(step - 1) * count..<step * count]))
      for optimizer in optimizers {
        optimizer.step(
          values: values.pointer, gradients: gradient.pointer, range: optimizer.slices[0],
          learningRate: rate(test, step: step, of: steps), stepNumber: step)
      }
    }
    let states = optimizers[0].stateNames.indices.map { index in
      optimizers.flatMap { $0.stateOfSlices[index] }
    }
    return (values.values, states)
  }

  private static func norm(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }.squareRoot()
  }

  @Test(arguments: cases) func fiftyStepsFollowPyTorch(test: Case) throws {
    let file = try Safetensors.Reader(path: golden("optimizers.safetensors"))
    let (values, states) = try Self.trained(test)
    let initial = Self.gather(Self.spread(try file.tensor("initial").values[...]))
    let expected = try file.tensor("\(test.name)/values").values
    let error = Self.norm(Self.gather(values), expected) / Self.norm(initial, expected)
    #expect(error < 1e-6)
    for (name, state) in zip(Optimizer.stateNames(of: test.config), states) {
      let expected = try file.tensor("\(test.name)/\(name)").values
      let size = Self.norm(expected, Array(repeating: 0, count: expected.count))
      #expect(Self.norm(Self.gather(state), expected) / size < 1e-6, "\(name)")
    }
  }

  @Test(arguments: cases) func slicesAndInstructionSetsChangeNoBit(test: Case) throws {
    let whole = try Self.trained(test, kernels: .ref)
    for kernels in InstructionSet.allCases where kernels <= .detected {
      for cuts in [[], [1], [64, 1024], [5, 77, 78, 100, 2000]] {
        let parts = try Self.trained(test, cuts: cuts, kernels: kernels)
        #expect(parts == whole, "\(kernels), cut at \(cuts)")
      }
    }
  }

  @Test(arguments: cases) func savedStateContinuesInOtherSlices(test: Case) throws {
    let file = try Safetensors.Reader(path: golden("optimizers.safetensors"))
    let gradients = try file.tensor("gradients")
    let values = FloatBuffer(Self.spread(try file.tensor("initial").values[...]))
    var optimizer = Optimizer(
      test.config, layout: Self.layout, slices: [0..<Self.layout.extent], kernels: .detected)
    for step in 1...gradients.shape[0] {
      if step == 20 {
        let saved = optimizer.stateOfSlices
        // Tail first, as a rank owns its pieces of the buckets.
        let slices = [64..<Self.layout.extent, 0..<64]
        optimizer = Optimizer(test.config, layout: Self.layout, slices: slices, kernels: .detected)
        optimizer.load(state: saved)
        for (state, whole) in zip(optimizer.stateOfSlices, saved) {
          #expect(state == Array(whole[64...]) + Array(whole[..<64]))
        }
      }
      let count = gradients.shape[1]
      let gradient = FloatBuffer(Self.spread(gradients.values[(step - 1) * count..<step * count]))
      for slice in optimizer.slices {
        optimizer.step(
          values: values.pointer, gradients: gradient.pointer, range: slice,
          learningRate: Self.rate(test, step: step, of: gradients.shape[0]), stepNumber: step)
      }
    }
    #expect(values.values == (try Self.trained(test).values))
  }

  @Test func statisticsAndPaddingAreLeftAlone() throws {
    let values = FloatBuffer(Array(repeating: 1, count: Self.layout.extent))
    let gradients = FloatBuffer(Array(repeating: 1, count: Self.layout.extent))
    let optimizer = Optimizer(
      RunConfig().optimizer, layout: Self.layout, slices: [0..<Self.layout.extent], kernels: .detected)
    optimizer.step(
      values: values.pointer, gradients: gradients.pointer, range: 0..<Self.layout.extent, learningRate: 0.1,
      stepNumber: 1)
    let changed = Set(values.values.indices.filter { values[$0] != 1 })
    #expect(changed == Set(Self.layout.parameters.flatMap(\.range)))
  }

  @Test func runningStatisticsFollowTheMeanOfTheImages() {
    let layout = Self.layout
    let momenta = [0.1, 0.25]
    let start = (0..<layout.extent).map { Float($0 % 7) }
    let sums = (0..<layout.extent).map { Float($0 % 11) * 24 }
    for slices in [[0..<layout.extent], [0..<1030, 1030..<1041, 1041..<layout.extent]] {
      let values = FloatBuffer(start)
      let sum = FloatBuffer(sums)
      for slice in slices {
        RunningStatistics.update(
          values: values.pointer, sums: sum.pointer, images: 24, momenta: momenta, layout: layout,
          slice: slice,
          kernels: .detected)
      }
      var expected = start
      for (statistic, momentum) in zip(layout.statistics, momenta) {
        for i in statistic.range {
          expected[i] = Float((1 - momentum) * Double(start[i]) + momentum * Double(i % 11))
        }
      }
      #expect(values.values == expected)
    }
  }
}
