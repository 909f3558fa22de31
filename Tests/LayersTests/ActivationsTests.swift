import CKernels
import Layers
import Tensors
import Testing

/// A case of activations.safetensors.
private struct ActivationHyper: Decodable {
  var kind: String
  var negativeSlope: Float?
  var approximate: String?

  func layer() throws -> any ActivationLayer {
    switch kind {
    case "ReLU6": ReLU6()
    case "Hardsigmoid": Hardsigmoid()
    case "Hardswish": Hardswish()
    case "LeakyReLU": try LeakyReLU(negativeSlope: negativeSlope ?? .nan)
    case "Sigmoid": Sigmoid()
    case "SiLU": SiLU()
    case "Tanh": Tanh()
    case "GELU": GELU(approximate: try #require(.init(rawValue: approximate ?? "")))
    default: throw LayerError("the golden file has an unknown \(kind)")
    }
  }
}

@Suite struct ActivationsTests {
  private static func all() throws -> [(name: String, layer: any ActivationLayer)] {
    try GoldenFile("activations").cases(ActivationHyper.self).map { ($0.name, try $0.hyper.layer()) }
  }

  /// max |a − b| / max(|b|, floor), infinite where one is NaN or infinite and the other isn't likewise.
  private func error(_ a: Tensor, _ b: Tensor, floor: Double) -> Double {
    zip(a.values, b.values).reduce(0.0) { worst, pair in
      let (a, b) = (Double(pair.0), Double(pair.1))
      if a == b || a.isNaN && b.isNaN { return worst }
      return a.isFinite && b.isFinite ? max(worst, abs(a - b) / max(abs(b), floor)) : .infinity
    }
  }

  @Test(arguments: InstructionSet.available)
  func equalsPyTorch(kernels: InstructionSet) throws {
    let golden = try GoldenFile("activations")
    #expect(try Self.all().count == 10)
    for (name, layer) in try Self.all() {
      let harness = try LayerHarness(layer, inputs: [try golden.tensor("\(name)/x")])
      harness.kernels = kernels
      for inPlace in [false, true] {
        harness.inPlace = inPlace
        let result = harness.run(outputGradient: try golden.tensor("\(name)/dy"))
        let value = error(result.output, try golden.tensor("\(name)/y"), floor: 0.1)
        #expect(value <= 1e-6, "\(name): \(value)")
        // Slopes are differences of numbers around 1, and dy is up to 3.
        let dx = try #require(result.inputGradients[0])
        let slope = error(dx, try golden.tensor("\(name)/dx"), floor: 1)
        #expect(slope <= 1.5e-6, "\(name): \(slope)")
      }
    }
  }

  /// Away from the bends of those that have some.
  @Test func gradientIsTheSlope() throws {
    let bends: [Float] = [-3, 0, 3, 6]
    for (name, layer) in try Self.all() {
      var x = Tensor.random([2, 3, 7, 9], number: 3)
      for index in x.values.indices {
        x.values[index] *= 7
        if bends.contains(where: { abs($0 - x.values[index]) < 0.1 }) { x.values[index] += 0.2 }
      }
      #expect(try LayerHarness(layer, inputs: [x]).gradientError() < 1e-4, "\(name)")
    }
  }

  /// Each count has another tail, each number of channels other lanes that must stay zero.
  @Test func everyInstructionSetGivesTheSameBits() throws {
    for (name, layer) in try Self.all() {
      for size in 1...34 {
        let shape: Shape = [2, size, 1, 35 - size]
        let harness = try LayerHarness(layer, inputs: [.random(shape, number: size)])
        let results = InstructionSet.available.map { kernels in
          harness.kernels = kernels
          return harness.run(outputGradient: .random(shape, number: 80 + size))
        }
        for result in results {
          #expect(
            result.output == results[0].output && result.inputGradients == results[0].inputGradients,
            "\(name) of \(shape)")
        }
      }
    }
  }

  /// What follows from the definitions, over the whole range in which they bend.
  @Test func symmetriesHold() throws {
    let x = Tensor(shape: [1, 1, 1, 4001], values: (0...4000).map { Float($0 - 2000) / 150 })
    let mirrored = Tensor(shape: x.shape, values: x.values.map { -$0 })
    func both(_ layer: any Layer) throws -> [(x: Float, y: Float, mirror: Float)] {
      let y = try LayerHarness(layer, inputs: [x]).run().output.values
      let mirror = try LayerHarness(layer, inputs: [mirrored]).run().output.values
      return x.values.indices.map { (x.values[$0], y[$0], mirror[$0]) }
    }
    for (_, y, mirror) in try both(Tanh()) { #expect(y == -mirror && abs(y) <= 1) }
    for (_, y, mirror) in try both(Sigmoid()) { #expect(abs(y + mirror - 1) <= 2e-7 && y >= 0 && y <= 1) }
    for (_, y, mirror) in try both(Hardsigmoid()) { #expect(abs(y + mirror - 1) <= 2e-7) }
    for (_, y, _) in try both(ReLU6()) { #expect(y >= 0 && y <= 6) }
    // x·s(x) − (−x)·s(−x) = x for every share s that grows from 0 to 1 as a distribution does.
    for layer in [SiLU(), GELU(), GELU(approximate: .tanh), Hardswish()] as [any Layer] {
      for (x, y, mirror) in try both(layer) {
        #expect(abs(y - mirror - x) <= 3e-7 * max(1, abs(x)), "\(layer.kind) at \(x)")
      }
    }
  }

  /// The tail below zero has a small relative error too, where 1 + erf would cancel.
  @Test func theTailOfGELUIsRight() throws {
    // x·Φ(x) at −2, −4, −5, −8 by 40-digit arithmetic.
    let exact: [Double] = [
      -0.0455002638963584, -1.2668496733248e-4, -1.43325785939597e-6, -4.97676845941743e-15,
    ]
    let x = Tensor(shape: [1, 4], values: [-2, -4, -5, -8])
    let y = try LayerHarness(GELU(), inputs: [x]).run().output.values
    for (y, exact) in zip(y, exact) { #expect(abs(Double(y) / exact - 1) < 5e-6) }
  }

  @Test func refusesASlopeThatIsNoNumber() {
    for slope: Float in [.nan, .infinity] {
      #expect(throws: LayerError.self) { try LeakyReLU(negativeSlope: slope) }
    }
  }

  @Test func microbatchesAndChannelsDoNotMix() throws {
    for (_, layer) in try Self.all() {
      try expectMicrobatchesIndependent(of: layer, inputs: [[6, 19, 3, 4]])
      try expectChannelsIndependent(of: layer, height: 5, width: 3)
      let harness = try LayerHarness(layer, inputs: [.random([1, 2, 3, 3], number: 1)])
      let result = harness.run(
        outputGradient: .random([1, 2, 3, 3], number: 2), inputGradientsWanted: [false])
      #expect(result.inputGradients == [nil])
    }
  }
}
