import Foundation
import Layers
import Models
import Tensors
import Testing

/// What goes over from a file to a network, and what is said of the rest.
@Suite struct WeightsFittingTests {
  private static func network(channels: Int = 3, classes: Int = 4) throws -> Network {
    var builder = NetworkBuilder(input: FeatureShape(channels: channels, height: 4, width: 4))
    try builder.add("conv1", Conv2d(outputChannels: 2, kernel: 3, bias: false))
    try builder.add("bn1", BatchNorm2d())
    try builder.add("flatten", Flatten())
    try builder.add("fc", Linear(outputFeatures: classes))
    return try builder.build()
  }

  /// Arrays for a network, each value another one; what `change` does to them goes to the file.
  private static func write(
    _ network: Network, to path: String, _ change: (inout [String: Tensor]) -> Void = { _ in }
  ) throws -> [String: Tensor] {
    var arrays: [String: Tensor] = [:]
    for (number, entry) in network.layout.entries.enumerated() {
      let values = (0..<entry.shape.count).map { Float(number * 1000 + $0) / 7 }
      arrays[entry.name] = Tensor(shape: entry.shape, values: values)
    }
    change(&arrays)
    var writer = Safetensors.Writer()
    for (name, tensor) in arrays.sorted(by: { $0.key < $1.key }) { writer.add(name, tensor) }
    writer.add("bn1.num_batches_tracked", shape: [], [7] as [Int64])
    try writer.write(to: path)
    return arrays
  }

  private struct Loaded {
    let values: [String: [Float]]
    let initial: [String: [Float]]
    let remarks: [String]
  }

  private static func load(
    _ path: String, into network: Network, _ fitting: WeightsFitting = WeightsFitting()
  )
    throws -> Loaded
  {
    func arrays(_ values: FloatBuffer) -> [String: [Float]] {
      Dictionary(uniqueKeysWithValues: network.layout.entries.map { ($0.name, $0.array(in: values.pointer)) })
    }
    let values = network.initialValues(seed: 1)
    let initial = arrays(values)
    let remarks = try fitting.load(WeightsFile(path: path), into: values, of: network)
    return Loaded(values: arrays(values), initial: initial, remarks: remarks)
  }

  @Test func aFileOfTheSameNetworkGoesOverWholly() throws {
    try withTemporaryFile { path in
      let network = try Self.network()
      let given = try Self.write(network, to: path)
      let loaded = try Self.load(path, into: network)
      #expect(loaded.values == given.mapValues(\.values))
      #expect(loaded.remarks == [])
    }
  }

  @Test func theHeadBeginsAnewForOtherClasses() throws {
    try withTemporaryFile { path in
      let given = try Self.write(Self.network(), to: path)
      let loaded = try Self.load(path, into: Self.network(classes: 9))
      #expect(loaded.values["conv1.weight"] == given["conv1.weight"]?.values)
      #expect(loaded.values["bn1.running_var"] == given["bn1.running_var"]?.values)
      for name in ["fc.weight", "fc.bias"] { #expect(loaded.values[name] == loaded.initial[name]) }
      #expect(loaded.remarks == ["fc.weight, fc.bias begin anew: the file has 4 classes, the model 9"])
    }
  }

  @Test func theHeadBeginsAnewWhereTheFileHasNoneAndWhereItIsToldSo() throws {
    try withTemporaryFile { path in
      let network = try Self.network()
      _ = try Self.write(network, to: path)
      let told = try Self.load(path, into: network, WeightsFitting(newHead: "of cats"))
      #expect(told.values["fc.weight"] == told.initial["fc.weight"])
      #expect(told.remarks == ["fc.weight, fc.bias begin anew: of cats"])
      _ = try Self.write(network, to: path) { ($0["fc.weight"], $0["fc.bias"]) = (nil, nil) }
      let headless = try Self.load(path, into: network)
      #expect(headless.remarks == ["fc.weight, fc.bias begin anew: the file has none"])
    }
  }

  /// The weights of three channels made those of one, and those of one made those of three.
  @Test(arguments: InputAdaptation.allCases)
  func theFirstConvolutionIsAdapted(rule: InputAdaptation) throws {
    try withTemporaryFile { path in
      for (from, to) in [(3, 1), (1, 3)] {
        let given = try #require(try Self.write(Self.network(channels: from), to: path)["conv1.weight"])
        let loaded = try Self.load(
          path, into: Self.network(channels: to), WeightsFitting(inputAdaptation: rule))
        let weight = try #require(loaded.values["conv1.weight"])
        for output in 0..<2 {
          for channel in 0..<to {
            for tap in 0..<9 {
              let old = (0..<from).map { given.values[(output * from + $0) * 9 + tap] }
              let expected: Float =
                switch rule {
                case .sum: old.reduce(0, +) / Float(to)
                case .repeat: old[channel % from] * Float(from) / Float(to)
                case .average: old.reduce(0, +) / Float(from)
                }
              #expect(abs(weight[(output * to + channel) * 9 + tap] - expected) <= 1e-5 * abs(expected))
            }
          }
        }
        #expect(
          loaded.remarks.contains {
            $0.hasPrefix("conv1.weight: \(from) input channels made \(to) (\(rule.rawValue): ")
          })
      }
    }
  }

  @Test func weightsOfAnotherArchitectureAreRefusedWithLists() throws {
    try withTemporaryFile { path in
      let network = try Self.network()
      _ = try Self.write(network, to: path) {
        $0["bn1.weight"] = nil
        $0["bn1.bias"] = Tensor(shape: [3])
        $0["layer1.weight"] = Tensor(shape: [1])
      }
      #expect {
        _ = try Self.load(path, into: network)
      } throws: {
        "\($0)" == "\(path): holds weights of another architecture than the model's: 1 missing: bn1.weight; "
          + "1 of another shape: bn1.bias (expects (2), got (3)); 1 left over: layer1.weight. "
          + "model.weights_match: fitting takes what fits"
      }
      let loaded = try Self.load(path, into: network, WeightsFitting(match: .fitting))
      #expect(loaded.values["bn1.weight"] == loaded.initial["bn1.weight"])
      #expect(loaded.values["bn1.bias"] == loaded.initial["bn1.bias"])
      #expect(loaded.values["fc.bias"] != loaded.initial["fc.bias"])
      #expect(loaded.remarks.count == 3 && loaded.remarks[0] == "1 missing: bn1.weight")
    }
  }

  @Test func weightsThatAreNotFiniteAreRefused() throws {
    try withTemporaryFile { path in
      let network = try Self.network()
      for (value, word) in [(Float.nan, "NaN"), (.infinity, "inf"), (-.infinity, "-inf")] {
        _ = try Self.write(network, to: path) { $0["fc.bias"]?.values[2] = value }
        #expect {
          _ = try Self.load(path, into: network)
        } throws: {
          "\($0)" == "\(path): fc.bias holds \(word) at element 2 of (4), and weights must be finite"
        }
      }
    }
  }
}
